package deploy

import (
	"net"
	"slices"
	"strconv"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkRelations finds objects that name what isn't there, or select nothing. Kubernetes takes such
// objects, and what they are for doesn't happen.
func (o *objects) checkRelations() {
	for _, d := range o.deployments {
		if !matches(d.Spec.Selector, d.Spec.Template.Labels) {
			o.complain("Deployment %s doesn't select its own pods", d.Name)
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			o.checkProbes(c)
			o.checkEnv(c)
		}
	}
	o.checkServices()
	o.checkBudgets()
	o.checkPolicies()
	o.checkMonitors()
	o.checkNamespaces()
}

// checkProbes wants each probe to ask a port that the container has.
func (o *objects) checkProbes(c core.Container) {
	for what, p := range map[string]*core.Probe{
		"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe, "startup": c.StartupProbe,
	} {
		if p != nil && p.HTTPGet != nil && number([]core.Container{c}, p.HTTPGet.Port) == 0 {
			o.complain("the %s probe of %s asks port %s, which it hasn't", what, c.Name, &p.HTTPGet.Port)
		}
	}
}

// checkEnv wants the Secrets that a container reads to be there, and a way to its peers.
func (o *objects) checkEnv(c core.Container) {
	for _, env := range c.Env {
		if from := env.ValueFrom; from != nil && from.SecretKeyRef != nil {
			secret := from.SecretKeyRef.Name + "/" + from.SecretKeyRef.Key
			if !slices.Contains(o.secrets, secret) {
				o.complain("%s is from the Secret %s, which nobody makes", env.Name, secret)
			}
		}
		if env.Name == "CACHE_PEERS" {
			o.checkPeers(env.Value)
		}
	}
}

// checkPeers wants a headless Service behind the name by which nodes find each other. It must show pods
// that aren't ready, too.
func (o *objects) checkPeers(peers string) {
	host, port, err := net.SplitHostPort(peers)
	if err != nil {
		o.complain("CACHE_PEERS: %v", err)
		return
	}
	for _, s := range o.services {
		if s.Name == host && s.Spec.ClusterIP == core.ClusterIPNone && s.Spec.PublishNotReadyAddresses {
			for _, p := range s.Spec.Ports {
				if strconv.Itoa(int(p.Port)) == port {
					return
				}
			}
		}
	}
	o.complain("CACHE_PEERS: no headless Service %s shows pods that aren't ready", peers)
}

func (o *objects) checkServices() {
	for _, s := range o.services {
		selector := meta.LabelSelector{MatchLabels: s.Spec.Selector}
		containers := o.selected(&selector)
		if len(s.Spec.Selector) == 0 || len(containers) == 0 {
			o.complain("Service %s selects no pods", s.Name)
		}
		for _, p := range s.Spec.Ports {
			if to := leadsTo(p); number(containers, to) == 0 {
				o.complain("Service %s leads to port %s, which its pods haven't", s.Name, &to)
			}
		}
	}
}

func (o *objects) checkBudgets() {
	for _, b := range o.budgets {
		if len(o.selected(b.Spec.Selector)) == 0 {
			o.complain("PodDisruptionBudget %s selects no pods", b.Name)
		}
	}
}

func (o *objects) checkPolicies() {
	for _, p := range o.policies {
		containers := o.selected(&p.Spec.PodSelector)
		if len(containers) == 0 {
			o.complain("NetworkPolicy %s selects no pods", p.Name)
		}
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if port.Port != nil && number(containers, *port.Port) == 0 {
					o.complain("NetworkPolicy %s allows port %s, which its pods haven't", p.Name, port.Port)
				}
			}
			for _, from := range rule.From {
				ours := from.PodSelector != nil && from.NamespaceSelector == nil
				if ours && len(o.selected(from.PodSelector)) == 0 {
					o.complain("NetworkPolicy %s allows pods that aren't there", p.Name)
				}
			}
		}
	}
}

// checkMonitors wants a ServiceMonitor to select Services that have its ports, and Prometheus to be let
// in.
func (o *objects) checkMonitors() {
	for _, m := range o.monitors {
		selects := 0
		for _, s := range o.services {
			if !matches(&m.Spec.Selector, s.Labels) {
				continue
			}
			selects++
			for _, e := range m.Spec.Endpoints {
				i := slices.IndexFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == e.Port })
				if i < 0 {
					o.complain("ServiceMonitor %s: Service %s has no port %q", m.Name, s.Name, e.Port)
				} else if !o.openToAll(s.Spec.Ports[i]) {
					o.complain("ServiceMonitor %s: no NetworkPolicy lets Prometheus in to port %q", m.Name, e.Port)
				}
			}
		}
		if selects == 0 || len(m.Spec.Endpoints) == 0 {
			o.complain("ServiceMonitor %s selects nothing", m.Name)
		}
	}
}

// openToAll tells whether everybody reaches what a port of a Service leads to: no policy is about such
// pods, or one has a rule for the port that doesn't say from where.
func (o *objects) openToAll(p core.ServicePort) bool {
	restricted := false
	for _, policy := range o.policies {
		containers := o.selected(&policy.Spec.PodSelector)
		to := number(containers, leadsTo(p))
		restricted = restricted || to != 0
		for _, rule := range policy.Spec.Ingress {
			allowed := len(rule.Ports) == 0
			for _, port := range rule.Ports {
				allowed = allowed || port.Port == nil || number(containers, *port.Port) == to
			}
			if allowed && len(rule.From) == 0 {
				return true
			}
		}
	}
	return !restricted
}

// checkNamespaces wants all to be in one namespace: what is in another one isn't selected. If a
// Namespace is made, it is that one.
func (o *objects) checkNamespaces() {
	if len(o.in) != 1 {
		o.complain("the objects are in %d namespaces: %v", len(o.in), o.in)
	}
	for _, n := range o.namespaces {
		if !slices.Contains(o.in, n.Name) {
			o.complain("Namespace %s is empty", n.Name)
		}
	}
}
