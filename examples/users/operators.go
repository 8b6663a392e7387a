package main

import (
	"fmt"
	"net/http"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachehttp"
	bcacheprom "github.com/iwanbk/bcache/metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operators is what those who operate the service look at. In a service that others reach too, put it on
// a port of its own, or behind a login: bcachehttp's Options say how.
func operators(cache *bcache.Bcache) (http.Handler, error) {
	collector, err := bcacheprom.New(cache, bcacheprom.Options{Cache: "users"})
	if err != nil {
		return nil, fmt.Errorf("the metrics: %w", err)
	}
	metrics := prometheus.NewRegistry() // of this node: the demo has several in one process
	if err := metrics.Register(collector); err != nil {
		return nil, fmt.Errorf("the metrics: %w", err)
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.Handle("/cache/", http.StripPrefix("/cache", bcachehttp.Handler(cache, bcachehttp.Options{})))
	return mux, nil
}
