// Package browser has tests only: they drive the page of bcachehttp in a real browser, a headless
// Chromium, while three nodes are under load.
//
//	go test ./bcachehttp/browser -browser
//
// Without the flag they are skipped, and so they are where there is no Chromium. With
// BCACHE_BROWSER=required, as in CI, they run and fail instead.
//
// With -shots DIR the pictures that the documents have are written to a folder, after five minutes.
package browser
