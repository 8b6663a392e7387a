package deploy

import (
	"slices"
	"strings"
	"testing"
)

// Each check notices what it is for: a manifest is broken in memory, and this is what is said of it.
func TestBrokenManifests(t *testing.T) {
	const (
		base       = "base/kustomization.yaml"
		deployment = "base/deployment.yaml"
		headless   = "base/service-headless.yaml"
		service    = "base/service.yaml"
		budget     = "base/poddisruptionbudget.yaml"
		policy     = "base/networkpolicy.yaml"
		monitor    = "monitoring/servicemonitor.yaml"
		overlay    = "overlays/example/kustomization.yaml"
		namespace  = "overlays/example/namespace.yaml"
	)
	for _, broken := range []struct{ name, file, old, new, says string }{
		// what Kubernetes' types and schema know
		{"unknown kind", budget, "Budget", "Bugdet", `no kind "PodDisruptionBugdet" is registered`},
		{"old version", budget, "policy/v1", "policy/v1beta1", "no kind"},
		{"kind without checks", namespace, "Namespace", "Node", "nothing here checks a Node"},
		{"unknown field", deployment, "minReadySeconds", "minReadySecond",
			`unknown field "spec.minReadySecond"`},
		{"field in the wrong place", deployment, "            periodSeconds: 10",
			"              periodSeconds: 10",
			`unknown field "spec.template.spec.containers[0].livenessProbe.httpGet.periodSeconds"`},
		{"unknown field of a monitor", monitor, "interval", "every",
			`unknown field "spec.endpoints[0].every"`},
		{"text for a number", deployment, "replicas: 3", "replicas: three", "cannot unmarshal string"},
		{"number for a text", deployment, "value: 340MiB", "value: 340", "cannot unmarshal number"},
		{"not a quantity", deployment, "cpu: 250m", "cpu: 250 m", "quantities must match"},
		{"field twice", deployment, "  replicas: 3\n", "  replicas: 3\n  replicas: 3\n", "already"},
		{"required field", deployment, "  selector:\n    matchLabels:\n      app: users\n", "",
			"spec.selector in body is required"},
		{"required field of a list", deployment, "- name: users\n          image", "- image",
			"spec.template.spec.containers[0].name in body is required"},
		{"required field of a policy", policy, "  podSelector:\n    matchLabels:\n      app: users\n  policy",
			"  policy", "spec.podSelector in body is required"},

		// what refers to something
		{"Deployment's selector", deployment, "selector:\n    matchLabels:\n      app: users",
			"selector:\n    matchLabels:\n      app: user", "Deployment users doesn't select its own pods"},
		{"readiness probe", deployment, "path: /ready\n              port: http",
			"path: /ready\n              port: htpt", "the readiness probe of users asks port htpt"},
		{"liveness probe", deployment, "path: /live\n              port: http",
			"path: /live\n              port: 8081", "the liveness probe of users asks port 8081"},
		{"Secret", deployment, "name: users-cache\n                  key",
			"name: user-cache\n                  key", "CACHE_SECRET is from the Secret user-cache/secret"},
		{"key of the Secret", deployment, "key: secret", "key: password", "the Secret users-cache/password"},
		{"peers", deployment, "users-cache:7000", "user-cache:7000", "no headless Service user-cache:7000"},
		{"port of the peers", deployment, "users-cache:7000", "users-cache:7001",
			"no headless Service users-cache:7001"},
		{"no port of the peers", deployment, "users-cache:7000", "users-cache", "missing port in address"},
		{"not headless", headless, "  clusterIP: None\n", "", "no headless Service users-cache:7000"},
		{"ready pods only", headless, "publishNotReadyAddresses: true", "publishNotReadyAddresses: false",
			"shows pods that aren't ready"},
		{"Service's selector", service, "selector:\n    app: users", "selector:\n    app: user",
			"Service users selects no pods"},
		{"no selector", service, "  selector:\n    app: users\n", "", "Service users selects no pods"},
		{"Service's port", headless, "port: 7000", "port: 7001", "Service users-cache leads to port 7001"},
		{"Service's port by name", service, "targetPort: http", "targetPort: web",
			"Service users leads to port web"},
		{"container's port", deployment, "containerPort: 8080", "containerPort: 8081",
			"allows port 8080, which its pods haven't"},
		{"budget's selector", budget, "app: users", "app: user", "PodDisruptionBudget users selects no pods"},
		{"policy's selector", policy, "podSelector:\n    matchLabels:\n      app: users",
			"podSelector:\n    matchLabels:\n      app: user", "NetworkPolicy users selects no pods"},
		{"policy's peers", policy, "app: users\n      ports", "app: user\n      ports",
			"NetworkPolicy users allows pods that aren't there"},
		{"policy's port", policy, "port: 7000", "port: 7001", "NetworkPolicy users allows port 7001"},
		{"monitor's selector", monitor, "app: users", "app: user", "ServiceMonitor users selects nothing"},
		{"monitor's labels", service, "  labels:\n    app: users\n", "",
			"ServiceMonitor users selects nothing"},
		{"monitor's port", monitor, "port: http", "port: metrics", `Service users has no port "metrics"`},
		{"no way in for Prometheus", policy, "    - ports:\n",
			"    - from:\n        - podSelector: {}\n      ports:\n",
			`no NetworkPolicy lets Prometheus in to port "http"`},
		{"two namespaces", headless, "metadata:\n", "metadata:\n  namespace: other\n", "in 2 namespaces"},
		{"no namespace", overlay, "namespace: stage\n", "", "Namespace stage is empty"},

		// what kustomize itself refuses
		{"no such file", base, "service.yaml\n  - pod", "services.yaml\n  - pod", "services.yaml"},
		{"unknown field of kustomize", overlay, "namespace: stage", "nameSpaces: stage", "nameSpaces"},
		{"patch of nothing", overlay, "metadata:\n        name: users", "metadata:\n        name: user",
			"no resource matches"},
		{"replicas of nothing", overlay, "name: users\n    count", "name: user\n    count",
			"resource with name user does not match"},
	} {
		t.Run(broken.name, func(t *testing.T) {
			files := manifests(t)
			if n := strings.Count(files[broken.file], broken.old); n != 1 {
				t.Fatalf("%s has %d times %q", broken.file, n, broken.old)
			}
			files[broken.file] = strings.Replace(files[broken.file], broken.old, broken.new, 1)
			var wrong []string
			for _, folder := range kustomizations(files) {
				wrong = append(wrong, examine(files, readmeSecrets(t), folder)...)
			}
			if !slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, broken.says) }) {
				t.Errorf("nothing says %q of it, but\n%s", broken.says, strings.Join(wrong, "\n"))
			}
		})
	}
}
