package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestStoreSQLite(t *testing.T) { testStore(t, newTestStore(t)) }

// TestStorePostgres needs a database that may be written to:
// USERS_TEST_DSN=postgres://user:password@localhost/test go test ./users
func TestStorePostgres(t *testing.T) {
	dsn := os.Getenv("USERS_TEST_DSN")
	if dsn == "" {
		t.Skip("USERS_TEST_DSN isn't set")
	}
	st, err := openStore(t.Context(), "", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Rename(t.Context(), userCount, newUser(userCount).Name); err != nil {
		t.Fatal(err) // an earlier run changed it
	}
	testStore(t, st)
}

func testStore(t *testing.T, st *store) {
	ctx := t.Context()
	want := newUser(userCount)
	before := st.Queries()
	if got, err := st.User(ctx, userCount); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := st.Rename(ctx, userCount, "Zoë"); err != nil {
		t.Error(err)
	}
	want.Name = "Zoë"
	if got, err := st.User(ctx, userCount); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := st.User(ctx, userCount+1); !errors.Is(err, errNoUser) {
		t.Errorf("reading an unknown user: %v", err)
	}
	if err := st.Rename(ctx, userCount+1, "x"); !errors.Is(err, errNoUser) {
		t.Errorf("renaming an unknown user: %v", err)
	}
	if n := st.Queries() - before; n != 5 {
		t.Errorf("%d queries were counted, want 5", n)
	}
	if err := st.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// Three terminals: the nodes start together, and all find a file without a table.
func TestStoresCreateOneFileTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dir with space#?%", "users.db")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			st, err := openStore(t.Context(), file, "")
			if err != nil {
				return err
			}
			return st.Close()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	st := openTestStore(t, file)
	var n int
	if err := st.db.QueryRow(`SELECT COUNT(*) FROM ` + table).Scan(&n); err != nil || n != userCount {
		t.Errorf("%d users, %v, want %d", n, err, userCount)
	}
	var mode string
	if err := st.db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("the journal mode is %q, %v", mode, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestStoreKeepsChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.db")
	st := openTestStore(t, file)
	if err := st.Rename(t.Context(), 7, "Ada"); err != nil {
		t.Fatal(err)
	}
	if u, err := openTestStore(t, file).User(t.Context(), 7); err != nil || u.Name != "Ada" {
		t.Errorf("opened again: %+v, %v", u, err)
	}
}
