package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestTrimGivesThePagesOfTheProgramBack(t *testing.T) {
	before := residentOfFiles(t)
	trim()
	if after := residentOfFiles(t); after >= before {
		t.Errorf("%d KiB of files were resident, and are %d after it", before, after)
	}
}

func residentOfFiles(t *testing.T) (kib int) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); fields[0] == "RssFile:" {
			if kib, err = strconv.Atoi(fields[1]); err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("the kernel does not say")
	return 0
}
