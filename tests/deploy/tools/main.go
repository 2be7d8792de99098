// Renders a Helm chart, or loads a Compose file, as helm and docker compose do, without a cluster or a daemon.
//
//	tools chart DIR NAME [VALUES.yaml]   the manifests, one YAML document after the other
//	tools compose FILE                   the whole project, names and references checked, as YAML
//
// Both are done by the projects' own packages; only the command lines around them, which are most of their
// dependencies, are left out. Ends with 1 and the reason on stderr.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

func main() {
	out, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(args []string) (string, error) {
	switch {
	case len(args) >= 3 && args[0] == "chart":
		return chart(args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "compose":
		return compose(args[1])
	}
	return "", fmt.Errorf("usage: tools chart DIR NAME [VALUES.yaml] | tools compose FILE")
}

func chart(dir, name string, files []string) (string, error) {
	loaded, err := loader.Load(dir)
	if err != nil {
		return "", err
	}
	given := chartutil.Values{}
	for _, file := range files {
		if given, err = chartutil.ReadValuesFile(file); err != nil {
			return "", err
		}
	}
	release := chartutil.ReleaseOptions{Name: name, Namespace: "shop", Revision: 1, IsInstall: true}
	// ToRenderValues also holds the values to values.schema.json.
	values, err := chartutil.ToRenderValues(loaded, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	rendered, err := engine.Engine{Strict: true}.Render(loaded, values)
	if err != nil {
		return "", err
	}
	var paths []string
	for path, text := range rendered {
		if strings.HasSuffix(path, ".yaml") && strings.TrimSpace(text) != "" {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	var out strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", path, rendered[path])
	}
	return out.String(), nil
}

func compose(file string) (string, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv, cli.WithResolvedPaths(false))
	if err != nil {
		return "", err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return "", err
	}
	text, err := project.MarshalYAML()
	return string(text), err
}
