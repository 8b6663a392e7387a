// Package bcacheprom shows the figures of a cache to Prometheus.
//
//	collector, err := bcacheprom.New(cache, bcacheprom.Options{Cache: "users"})
//	if err != nil {
//		return err
//	}
//	prometheus.MustRegister(collector)
//
// The package isn't named as its folder is, since programs that use it import client_golang's
// prometheus too.
//
// README.md has a table of all metrics, and this folder a dashboard for Grafana and alert rules.
package bcacheprom
