// Package bcacheotel shows OpenTelemetry what a bcache does: its figures as metrics, and its fills as
// spans of the traces of those who wait for them.
//
// The package has another name than its folder, so that a file can import it beside
// go.opentelemetry.io/otel without renaming either.
//
// It uses the API of OpenTelemetry alone. Where what it records goes to is up to the MeterProvider and
// the TracerProvider of the program.
package bcacheotel
