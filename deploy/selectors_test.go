package deploy

import (
	"cmp"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// matches tells whether a selector selects something with these labels.
func matches(selector *meta.LabelSelector, has map[string]string) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(has))
}

// selected are the containers of the pods that a selector selects.
func (o *objects) selected(selector *meta.LabelSelector) (containers []core.Container) {
	for _, d := range o.deployments {
		if matches(selector, d.Spec.Template.Labels) {
			containers = append(containers, d.Spec.Template.Spec.Containers...)
		}
	}
	return containers
}

// number is the port of a container by its name or its number, and 0 if none has it.
func number(containers []core.Container, port intstr.IntOrString) int32 {
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.Name == port.String() || p.ContainerPort == port.IntVal {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// leadsTo is the port of the pods that a port of a Service stands for.
func leadsTo(p core.ServicePort) intstr.IntOrString {
	return cmp.Or(p.TargetPort, intstr.FromInt32(p.Port))
}
