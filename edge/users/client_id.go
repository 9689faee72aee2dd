package users

import (
	"regexp"
	"strings"
)

// CheckClientPattern tells what is wrong with a pattern of client ids, or nil.
func CheckClientPattern(pattern string) error {
	return CheckPattern(strings.ReplaceAll(pattern, "{username}", ""))
}

// MayBeClient reports whether a user's client may have an id. The account's own
// pattern counts, else the one that is given; "" is any.
func (u *User) MayBeClient(client, pattern string) bool {
	if u.clientIDs != "" {
		pattern = u.clientIDs
	}
	return MayBeClient(u.Name, client, pattern)
}

// MayBeClient asks a pattern, in which {username} stands for the user's name,
// letter by letter.
func MayBeClient(user, client, pattern string) bool {
	if pattern == "" {
		return true
	}
	re, err := compile(strings.ReplaceAll(pattern, "{username}", regexp.QuoteMeta(user)))
	return err == nil && re.MatchString(client)
}
