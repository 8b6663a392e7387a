// Package browser has tests only: they drive the page of bcachehttp in a real browser, a headless
// Chromium, while three nodes are under load. Where there is no Chromium they are skipped, and say so;
// with BCACHE_BROWSER=required they fail, as in CI.
//
// With -shots DIR the tests also write the pictures that the documents have; see CONTRIBUTING.md.
package browser
