package users

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Mosquitto keeps its users in a file of lines "name:hash", with hashes that
// mosquitto_passwd makes:
//
//	$6$salt$sum               SHA-512 of the password and the salt
//	$7$iterations$salt$sum    PBKDF2 of HMAC-SHA-512
//
// Salt (12 or 64 bytes, as its versions have it) and sum are in base64.
const (
	mosquittoSHA512 = "$6$"
	mosquittoPBKDF2 = "$7$"

	mosquittoSaltMax       = 64
	mosquittoIterationsMax = 500_000   // about half a second on a gateway
	mosquittoLinesMax      = 100_000   // of either file
	mosquittoLineMax       = 128 << 10 // bytes: a topic has at most 65,535
)

var errMosquittoHash = errors.New("not a hash that mosquitto_passwd makes ($6$ or $7$)")

// mosquittoHash is such a hash, taken apart.
type mosquittoHash struct {
	iterations int // 0 is SHA-512
	salt, sum  []byte
}

func parseMosquitto(text string) (h mosquittoHash, err error) {
	fields := strings.Split(text, "$") // the first is empty, the second the kind
	switch {
	case strings.HasPrefix(text, mosquittoSHA512) && len(fields) == 4:
	case strings.HasPrefix(text, mosquittoPBKDF2) && len(fields) == 5:
		h.iterations, err = strconv.Atoi(fields[2])
		if err != nil || h.iterations < 1 {
			return h, errMosquittoHash
		}
		if h.iterations > mosquittoIterationsMax {
			return h, fmt.Errorf("%d iterations would take seconds for each login; at most %d", h.iterations, mosquittoIterationsMax)
		}
	default:
		return h, errMosquittoHash
	}
	salt, sum := fields[len(fields)-2], fields[len(fields)-1]
	if h.salt, err = base64.StdEncoding.DecodeString(salt); err != nil || len(h.salt) == 0 || len(h.salt) > mosquittoSaltMax {
		return h, errMosquittoHash
	}
	if h.sum, err = base64.StdEncoding.DecodeString(sum); err != nil || len(h.sum) != sha512.Size {
		return h, errMosquittoHash
	}
	return h, nil
}

func (h *mosquittoHash) matches(password string) bool {
	if h.iterations == 0 {
		sum := sha512.Sum512(append([]byte(password), h.salt...))
		return subtle.ConstantTimeCompare(sum[:], h.sum) == 1
	}
	sum, err := pbkdf2.Key(sha512.New, password, h.salt, h.iterations, sha512.Size)
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// lineError is a mistake in a line of a file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// eachLine gives the lines that are neither empty nor comments to read.
func eachLine(from io.Reader, read func(line string) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, mosquittoLineMax)
	n := 0
	for lines.Scan() {
		if n++; n > mosquittoLinesMax {
			return fmt.Errorf("more than %d lines", mosquittoLinesMax)
		}
		line := strings.Trim(lines.Text(), " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := read(line); err != nil {
			return &lineError{n, err}
		}
	}
	if err := lines.Err(); err != nil {
		return &lineError{n + 1, err}
	}
	return nil
}

// ReadMosquittoPasswords reads a password file: accounts that may do anything.
// An error names the line and shows no hash.
func ReadMosquittoPasswords(from io.Reader) (accounts []Account, err error) {
	seen := make(map[string]bool)
	err = eachLine(from, func(line string) error {
		name, text, ok := strings.Cut(line, ":")
		switch {
		case !ok || name == "":
			return errors.New("must be a name, a colon and a hash")
		case len(name) > NameMax:
			return errors.New("the name is longer than 255 bytes")
		case seen[name]:
			return fmt.Errorf("user %q is there twice", name)
		case !strings.HasPrefix(text, "$"):
			return fmt.Errorf("user %q: the password is not hashed; mosquitto_passwd -U does it", name)
		}
		if _, err := parseMosquitto(text); err != nil {
			return fmt.Errorf("user %q: %w", name, err)
		}
		seen[name] = true
		accounts = append(accounts, Account{Name: name, Hash: Hash{crypt: text}, Configure: "", Write: ".*", Read: ".*"})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return accounts, nil
}
