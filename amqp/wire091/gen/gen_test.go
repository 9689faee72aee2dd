package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGeneratedFileIsUpToDate(t *testing.T) {
	out := filepath.Join(t.TempDir(), "methods_gen.go")
	if err := run("../methods.txt", out); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../methods_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("methods_gen.go is not what methods.txt says: run go generate")
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"class a", "line 1: want: class NAME ID"},
		{"class a b", `line 1: want a number, not "b"`},
		{"class a 1\nclass a 2", "line 2: class a 2 is there already"},
		{"# only text\n10 a", "line 2: method before the first class"},
		{"class a 1\n10", "line 2: want: ID NAME"},
		{"class a 1\n65536 b", `line 2: want a number, not "65536"`},
		{"class a 1\n10 b quick", `line 2: unknown mark "quick"`},
		{"class a 1\n10 b\n10 c", "line 3: method c 10 is there already"},
		{"class a 1\n10 b : c", `line 2: want FIELD TYPE, not "c"`},
		{"class a 1\n10 b : c word", `line 2: field c has unknown type "word"`},
		{"class a 1\n10 b : c bit, c bit", "line 2: field c is there already"},
	}
	for _, tt := range tests {
		if _, err := parse(tt.in); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("parse(%q) = %v, want %v", tt.in, err, tt.want)
		}
	}
}

func TestNinthBitOpensAnotherOctet(t *testing.T) {
	fields, err := parseFields("a bit, b bit, c bit, d bit, e bit, f bit, g bit, h bit, i bit, j short, k bit")
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, run := range runs(fields) {
		sizes = append(sizes, len(run))
	}
	if len(sizes) != 4 || sizes[0] != 8 || sizes[1] != 1 || sizes[2] != 1 || sizes[3] != 1 {
		t.Errorf("octets hold %v fields, want [8 1 1 1]", sizes)
	}
}
