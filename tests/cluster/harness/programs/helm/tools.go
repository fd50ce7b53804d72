//go:build tools

// Helm, which renders and installs the chart.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
