package bcache

import (
	"os"
	"os/exec"
	"testing"
)

// The picture is what its program draws.
func TestScaleIsDrawn(t *testing.T) {
	want, err := exec.Command("go", "run", "./docs/scale").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("docs/scale.svg")
	if err != nil || string(got) != string(want) {
		t.Errorf("docs/scale.svg isn't what go run ./docs/scale prints (%v)", err)
	}
}
