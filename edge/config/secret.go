package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secretBytesMax bounds a file that holds one secret.
const secretBytesMax = 4 << 10

// one is the only one of the keys that is there; "" with a note when none or
// more are.
func (s *section) one(names ...string) string {
	s.knows(names...)
	last := len(names) - 1
	all := strings.Join(names[:last], ", ") + " or " + names[last]
	there := ""
	for _, name := range names {
		switch f := s.table.get(name); {
		case f == nil:
		case there != "":
			s.found.add(f.at, s.key(name), "%s is there as well; give one of %s", there, all)
			return ""
		default:
			there = name
		}
	}
	if there == "" {
		s.lacks(names[0], "is missing; give one of %s", all)
	}
	return there
}

// secretFile reads the secret in the file that a key names. A relative path is
// looked for among the service's credentials first (see systemd.exec, "Load
// Credentials"), then beside the configuration.
func (d *decoder) secretFile(s *section, name string, to *string) bool {
	var path string
	if !s.text(name, &path) {
		return false
	}
	n := s.table.get(name).value
	if path == "" {
		return s.bad(name, n, "must not be empty")
	}
	secret, err := readSecret(d.locate(path))
	if err != nil {
		return s.bad(name, n, "%q cannot be read: %s", path, reason(err))
	}
	*to = secret
	return true
}

func (d *decoder) locate(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if credentials := os.Getenv("CREDENTIALS_DIRECTORY"); credentials != "" && filepath.IsLocal(path) {
		inside := filepath.Join(credentials, path)
		if _, err := os.Stat(inside); err == nil {
			return inside
		}
	}
	return filepath.Join(d.folder, path)
}

// readSecret reads a file of one line. A pipe or a device is refused: to read
// it might take for ever.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a file")
	}
	data, err := readAtMost(path, secretBytesMax)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if !utf8.ValidString(secret) || strings.ContainsFunc(secret, unicode.IsControl) {
		return "", errors.New("it must hold one line of UTF-8 text")
	}
	return secret, nil
}

// secretEnv reads the environment variable that a key names.
func (d *decoder) secretEnv(s *section, name string, to *string) bool {
	var variable string
	if !s.text(name, &variable) {
		return false
	}
	value, ok := os.LookupEnv(variable)
	if !ok || variable == "" {
		return s.bad(name, s.table.get(name).value, "the environment has no variable %q", variable)
	}
	*to = value
	return true
}
