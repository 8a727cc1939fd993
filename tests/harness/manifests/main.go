// Command manifests checks what a test hands it with the code of the projects that read such files:
//
//	manifests compose FILE...   loads a compose project as docker compose does, with every profile, and prints JSON
//	manifests decode <YAML      decodes Gateway API, Prometheus operator and cert-manager objects into their own types,
//	                            refusing unknown fields; prints how many of each kind there were
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) > 1 && arguments[0] == "compose":
		return compose(arguments[1:])
	case len(arguments) == 1 && arguments[0] == "decode":
		return decode(os.Stdin)
	}
	return errors.New("usage: manifests compose FILE... | manifests decode")
}

func compose(files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}

func decode(from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, document := range strings.Split("\n"+string(text), "\n---") {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			return err
		}
		kind := head.APIVersion + "/" + head.Kind
		into := custom(kind)
		if into == nil {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		counts[kind]++
	}
	return json.NewEncoder(os.Stdout).Encode(counts)
}

func custom(kind string) any {
	switch kind {
	case "gateway.networking.k8s.io/v1/HTTPRoute":
		return &gateway.HTTPRoute{}
	case "gateway.networking.k8s.io/v1/GRPCRoute":
		return &gateway.GRPCRoute{}
	case "monitoring.coreos.com/v1/ServiceMonitor":
		return &monitoring.ServiceMonitor{}
	case "monitoring.coreos.com/v1/PodMonitor":
		return &monitoring.PodMonitor{}
	case "monitoring.coreos.com/v1/PrometheusRule":
		return &monitoring.PrometheusRule{}
	case "cert-manager.io/v1/Certificate":
		return &certmanager.Certificate{}
	}
	return nil
}
