package config

import "strings"

// nearest is the candidate that word was most likely meant to be, or "" when
// none is near: at most a third of its letters are wrong, missing, too many or
// swapped with their neighbour.
func nearest(word string, candidates []string) string {
	if len(word) > keyShownMax {
		return ""
	}
	best, bound := "", len(word)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < bound {
			best, bound = c, d
		}
	}
	return best
}

// distance counts the letters to change, insert, remove or swap with the next
// one (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
