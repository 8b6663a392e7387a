package deploy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// againstSchema checks an object against the OpenAPI schema of Kubernetes that kustomize brings along.
// It is that of 1.21, and knows what the Go types don't: which fields are required. A field that is younger
// passes here; the types know those.
func againstSchema(kind schema.GroupVersionKind, text []byte) error {
	known := openapi.SchemaForResourceType(kyaml.TypeMeta{
		APIVersion: kind.GroupVersion().String(), Kind: kind.Kind,
	})
	if known == nil {
		return fmt.Errorf("%v has no schema", kind)
	}
	whole, err := inlined(*known.Schema)
	if err != nil {
		return err
	}
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	return validate.AgainstSchema(&whole, object, strfmt.Default)
}

// inlined is a schema with what it refers to in the place of the references, which the validator doesn't
// follow.
func inlined(s spec.Schema) (spec.Schema, error) {
	if s.Ref.String() != "" {
		to, err := openapi.Resolve(&s.Ref, openapi.Schema())
		if err != nil {
			return s, err
		}
		return inlined(*to)
	}
	if s.Format == "int-or-string" {
		return spec.Schema{}, nil // which it says is a string
	}
	fields := make(map[string]spec.Schema, len(s.Properties))
	for name, field := range s.Properties {
		whole, err := inlined(field)
		if err != nil {
			return s, err
		}
		fields[name] = whole
	}
	s.Properties = fields
	if s.Items != nil && s.Items.Schema != nil {
		item, err := inlined(*s.Items.Schema)
		if err != nil {
			return s, err
		}
		s.Items = &spec.SchemaOrArray{Schema: &item}
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		value, err := inlined(*s.AdditionalProperties.Schema)
		if err != nil {
			return s, err
		}
		s.AdditionalProperties = &spec.SchemaOrBool{Allows: true, Schema: &value}
	}
	return s, nil
}
