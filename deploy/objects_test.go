package deploy

import (
	"fmt"
	"slices"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// objects are what a kustomization makes, by kind, and what is wrong with them.
type objects struct {
	wrong []string

	in      []string // the namespaces that they are in
	secrets []string // NAME/KEY, of those that the README has people make

	namespaces  []*core.Namespace
	deployments []*apps.Deployment
	services    []*core.Service
	budgets     []*policy.PodDisruptionBudget
	policies    []*networking.NetworkPolicy
	monitors    []*monitoring.ServiceMonitor
}

// strict decodes what Kubernetes and the operator of Prometheus know, and refuses other fields.
var strict = func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
}()

func (o *objects) complain(format string, args ...any) {
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// add checks an object by itself, and takes it in.
func (o *objects) add(text []byte) {
	object, kind, err := strict.Decode(text, nil, nil)
	if err != nil {
		o.complain("%v, of\n%s", err, text)
		return
	}
	switch object := object.(type) {
	case *core.Namespace:
		o.namespaces = append(o.namespaces, object)
	case *apps.Deployment:
		o.deployments = append(o.deployments, object)
	case *core.Service:
		o.services = append(o.services, object)
	case *policy.PodDisruptionBudget:
		o.budgets = append(o.budgets, object)
	case *networking.NetworkPolicy:
		o.policies = append(o.policies, object)
	case *monitoring.ServiceMonitor:
		o.monitors = append(o.monitors, object)
	default:
		o.complain("nothing here checks a %s", kind.Kind)
	}
	if kind.Kind != "Namespace" {
		if in := object.(meta.Object).GetNamespace(); !slices.Contains(o.in, in) {
			o.in = append(o.in, in)
		}
	}
	if kind.Group == monitoring.SchemeGroupVersion.Group {
		return // its schema isn't Kubernetes' own
	}
	if err := againstSchema(*kind, text); err != nil {
		o.complain("%s: %v", kind.Kind, err)
	}
}
