package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

const (
	// table has a name that no real database has.
	table = "bcache_example_users"

	// userCount is how many users a new table is filled with: IDs 1 to userCount.
	userCount = 10_000

	// maxQueries is how many run at once.
	maxQueries = 8

	// insertBatch is how many users one INSERT adds.
	insertBatch = 100
)

var errNoUser = errors.New("no such user")

// User is a row of the table.
type User struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Bio   string `json:"bio"`
}

// A store is the database: the truth, which the cache stands in front of. Its SQL
// is understood by SQLite and PostgreSQL alike.
type store struct {
	db      *sql.DB
	queries atomic.Uint64 // by User and Rename
}

// openStore opens a PostgreSQL database if dsn isn't empty, else the SQLite file.
// A missing table is created and filled.
func openStore(ctx context.Context, file, dsn string) (*store, error) {
	driver, source := "pgx", dsn
	if dsn == "" {
		var err error
		if driver, source, err = sqliteSource(file); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxOpenConns(maxQueries)
	db.SetMaxIdleConns(maxQueries)
	s := &store{db: db}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the database: %w", err), db.Close())
	}
	return s, nil
}

// sqliteSource returns the driver and its data source name. WAL lets readers and
// a writer, of several processes too, work at the same time; busy_timeout, in
// milliseconds, lets writers queue up; _txlock makes transactions do so at their
// beginning, so that what they read stays true until they commit.
func sqliteSource(file string) (driver, source string, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	path := filepath.ToSlash(file)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/...
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)"},
	}.Encode()}
	return "sqlite", u.String(), nil
}

// User reads one user. The error is errNoUser if there is none.
func (s *store) User(ctx context.Context, id int64) (User, error) {
	s.queries.Add(1)
	u := User{ID: id}
	err := s.db.QueryRowContext(ctx, `SELECT name, email, bio FROM `+table+` WHERE id = $1`, id).
		Scan(&u.Name, &u.Email, &u.Bio)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, errNoUser
	}
	return u, err
}

// Rename changes a user's name. When it returns nil, the change is committed. The
// error is errNoUser if there is no such user; after any other one the change may
// or may not have been made.
func (s *store) Rename(ctx context.Context, id int64, name string) error {
	s.queries.Add(1)
	res, err := s.db.ExecContext(ctx, `UPDATE `+table+` SET name = $1 WHERE id = $2`, name, id)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return errNoUser
	}
	return err
}

// Ping tells whether the database answers.
func (s *store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Queries returns how many queries and updates were sent to the database, apart
// from those that created the table.
func (s *store) Queries() uint64 { return s.queries.Load() }

// Close closes the connections. Nothing may use the store from then on.
func (s *store) Close() error { return s.db.Close() }

// create creates the table and fills it, unless that is done already. Nodes that
// start together may all try.
func (s *store) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()

	_, createErr := s.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+table+` (
		id    INTEGER PRIMARY KEY,
		name  TEXT NOT NULL,
		email TEXT NOT NULL,
		bio   TEXT NOT NULL)`)
	// createErr is void if the table is there: PostgreSQL reports one to whoever
	// creates a table at the same time as another, IF NOT EXISTS or not.
	if err := s.fill(ctx); err != nil {
		return errors.Join(createErr, err)
	}
	return nil
}

// fill inserts the users that are missing, all or none.
func (s *store) fill(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit

	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		return err
	}
	if n >= userCount {
		return nil
	}

	var query strings.Builder
	query.WriteString(`INSERT INTO ` + table + ` (id, name, email, bio) VALUES `)
	for i := range insertBatch {
		if i > 0 {
			query.WriteString(", ")
		}
		fmt.Fprintf(&query, "($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
	}
	query.WriteString(` ON CONFLICT (id) DO NOTHING`)
	insert, err := tx.PrepareContext(ctx, query.String())
	if err != nil {
		return err
	}
	defer insert.Close()

	for first := int64(1); first <= userCount; first += insertBatch {
		args := make([]any, 0, 4*insertBatch)
		for id := first; id < first+insertBatch; id++ {
			u := newUser(id)
			args = append(args, u.ID, u.Name, u.Email, u.Bio)
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// newUser makes up a user.
func newUser(id int64) User {
	return User{
		ID:    id,
		Name:  fmt.Sprintf("User %d", id),
		Email: fmt.Sprintf("user%d@example.com", id),
		Bio: fmt.Sprintf("Number %d of %d, who has read every book on caches, "+
			"and still invalidates them one key at a time.", id, userCount),
	}
}
