module github.com/iwanbk/bcache

go 1.25.0

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/sirupsen/logrus v1.10.2
	github.com/weaveworks/mesh v0.0.0-20191105120815-58dbcc3e8e63
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.20.0
	google.golang.org/protobuf v1.36.12
	pgregory.net/rapid v1.3.0
)

require (
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
