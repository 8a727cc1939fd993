{{- define "recorder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for the longest suffix and a pod's number within 63 characters. */ -}}
{{- define "recorder.fullname" -}}
{{- $name := include "recorder.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "recorder.selector" -}}
app.kubernetes.io/name: {{ include "recorder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "recorder.labels" -}}
{{ include "recorder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "recorder.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "recorder.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "recorder.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "recorder.headlessName" -}}{{ include "recorder.fullname" . }}-headless{{- end -}}

{{- define "recorder.httpServiceName" -}}
{{- if .Values.roles.separate -}}{{ include "recorder.fullname" . }}-http{{- else -}}{{ include "recorder.fullname" . }}{{- end -}}
{{- end -}}

{{- define "recorder.adminTokenSecret" -}}
{{- .Values.adminToken.existingSecret | default (printf "%s-admin" (include "recorder.fullname" .)) -}}
{{- end -}}

{{- define "recorder.clusterSecret" -}}
{{- .Values.clusterSecret.existingSecret | default (printf "%s-cluster" (include "recorder.fullname" .)) -}}
{{- end -}}

{{- define "recorder.minioName" -}}{{ include "recorder.fullname" . }}-minio{{- end -}}

{{- define "recorder.postgresqlName" -}}{{ include "recorder.fullname" . }}-postgresql{{- end -}}

{{- define "recorder.databaseSecret" -}}
{{- if .Values.evaluation.postgresql.enabled -}}{{ include "recorder.postgresqlName" . }}{{- else -}}{{ .Values.database.existingSecret }}{{- end -}}
{{- end -}}

{{- define "recorder.databaseKey" -}}
{{- if .Values.evaluation.postgresql.enabled -}}url{{- else -}}{{ .Values.database.key }}{{- end -}}
{{- end -}}

{{- define "recorder.s3Endpoint" -}}
{{- if .Values.evaluation.minio.enabled -}}http://{{ include "recorder.minioName" . }}:9000{{- else -}}{{ .Values.s3.endpoint }}{{- end -}}
{{- end -}}

{{- define "recorder.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}{{ include "recorder.fullname" . }}-tls{{- else -}}{{ .Values.tls.existingSecret }}{{- end -}}
{{- end -}}

{{- define "recorder.publicUrl" -}}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl -}}
{{- else if .Values.ingress.http.enabled -}}
{{- ternary "https" "http" (ne .Values.ingress.http.tlsSecret "") }}://{{ .Values.ingress.http.host }}
{{- else if .Values.gateway.http.enabled -}}
https://{{ first .Values.gateway.http.hostnames }}
{{- else -}}
{{- ternary "https" "http" (ne (include "recorder.tlsSecret" .) "") }}://{{ include "recorder.httpServiceName" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.httpPort }}
{{- end -}}
{{- end -}}

{{- /* A random value that stays the same over upgrades: (list context secret-name key). */ -}}
{{- define "recorder.keptRandom" -}}
{{- $context := index . 0 -}}
{{- $found := lookup "v1" "Secret" $context.Release.Namespace (index . 1) -}}
{{- $kept := get (get ($found | default dict) "data" | default dict) (index . 2) -}}
{{- if $kept -}}{{ $kept | b64dec }}{{- else -}}{{ randAlphaNum 48 }}{{- end -}}
{{- end -}}
