package users

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Hash is a password that cannot be read any more. There are three kinds:
//
//   - salted SHA-256, base64 of 4 bytes of salt and the sum of salt and
//     password: what RabbitMQ calls rabbit_password_hashing_sha256;
//   - bcrypt, "$2a$", "$2b$" or "$2y$", with a cost of 4 to 14;
//   - Mosquitto's, "$6$" and "$7$", see ReadMosquittoPasswords.
//
// Hashes are comparable. No verb of fmt, no log and no encoder shows one; Encode
// does. The zero Hash matches no password.
type Hash struct {
	salt  [saltLen]byte
	sum   [sha256.Size]byte
	crypt string // set for bcrypt and Mosquitto's, which use nothing else
}

const (
	saltLen = 4
	// A bcrypt of cost 14 takes about a second on a server and several on a
	// gateway; above that a login would be an attack on ourselves.
	bcryptCostMax = 14
)

// saltKey makes salts: see HashPassword.
var saltKey = sync.OnceValue(func() (key [32]byte) {
	rand.Read(key[:])
	return key
})

// HashPassword hashes a password with salted SHA-256. The salt depends on a
// secret of this process and on the password: nobody outside can tell it, but
// the same password gives the same hash until the process ends, so that a
// reload can see that a password was not changed without keeping it.
func HashPassword(password string) Hash {
	key := saltKey()
	mac := hmac.New(sha256.New, key[:])
	io.WriteString(mac, password)
	h := Hash{salt: [saltLen]byte(mac.Sum(nil))}
	h.sum = h.sumOf(password)
	return h
}

// ParseHash reads a hash of either kind. The error does not show the text.
func ParseHash(text string) (Hash, error) {
	switch {
	case strings.HasPrefix(text, mosquittoSHA512), strings.HasPrefix(text, mosquittoPBKDF2):
		if _, err := parseMosquitto(text); err != nil {
			return Hash{}, err
		}
		return Hash{crypt: text}, nil
	case strings.HasPrefix(text, "$"):
		return parseBcrypt(text)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != saltLen+sha256.Size {
		return Hash{}, errors.New(`neither a bcrypt hash ("$2a$...") nor base64 of 4 bytes of salt and a SHA-256 sum`)
	}
	return Hash{salt: [saltLen]byte(raw), sum: [sha256.Size]byte(raw[saltLen:])}, nil
}

func parseBcrypt(text string) (Hash, error) {
	const length = 60
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != length || strings.Trim(text[length-53:], bcryptAlphabet) != "" {
		return Hash{}, errors.New("not a bcrypt hash")
	}
	if cost > bcryptCostMax {
		return Hash{}, fmt.Errorf("a bcrypt cost of %d would take seconds for each login; at most %d", cost, bcryptCostMax)
	}
	return Hash{crypt: text}, nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Encode is the text that ParseHash reads.
func (h Hash) Encode() string {
	if h.crypt != "" {
		return h.crypt
	}
	return base64.StdEncoding.EncodeToString(append(h.salt[:], h.sum[:]...))
}

// Format prints stars for every verb.
func (h Hash) Format(s fmt.State, _ rune) { io.WriteString(s, "***") }

// LogValue, MarshalText: stars as well.
func (h Hash) LogValue() slog.Value         { return slog.StringValue("***") }
func (h Hash) MarshalText() ([]byte, error) { return []byte("***"), nil }

func (h Hash) matches(password string) bool {
	if h.mosquitto() {
		m, err := parseMosquitto(h.crypt)
		return err == nil && m.matches(password)
	}
	if h.crypt != "" {
		return bcrypt.CompareHashAndPassword([]byte(h.crypt), []byte(password)) == nil
	}
	sum := h.sumOf(password)
	return subtle.ConstantTimeCompare(h.sum[:], sum[:]) == 1 && h != Hash{}
}

func (h Hash) sumOf(password string) [sha256.Size]byte {
	return sha256.Sum256(append(h.salt[:], password...))
}

func (h Hash) mosquitto() bool {
	return strings.HasPrefix(h.crypt, mosquittoSHA512) || strings.HasPrefix(h.crypt, mosquittoPBKDF2)
}

// slow reports whether a check takes so long that it must not be done by many
// at once.
func (h Hash) slow() bool { return h.crypt != "" && !strings.HasPrefix(h.crypt, mosquittoSHA512) }

// costsAs reports whether checking other takes as long as checking h.
func (h Hash) costsAs(other Hash) bool {
	if !h.slow() || !other.slow() {
		return h.slow() == other.slow()
	}
	return h.mosquitto() == other.mosquitto() && h.cost() == other.cost()
}

func (h Hash) cost() int {
	if h.mosquitto() {
		m, _ := parseMosquitto(h.crypt) // was read when it came
		return m.iterations
	}
	cost, _ := bcrypt.Cost([]byte(h.crypt)) // was read by parseBcrypt
	return cost
}
