package edge

import "regexp"

var versionNumbers = regexp.MustCompile(`\d+(\.\d+)+`)

// numbers is the part of a version that AMQP clients can compare, "1.2.3" of
// "v1.2.3-4-gabcdef0"; some do, and fail at anything else.
func numbers(version string) string {
	if n := versionNumbers.FindString(version); n != "" {
		return n
	}
	return "0.0.0"
}
