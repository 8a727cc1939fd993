{{- /* A number as people write it: YAML makes floats of all, and large ones would get an exponent. */ -}}
{{- define "recorder.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "recorder.databaseEnvironment" -}}
- name: RECORDER_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "recorder.databaseSecret" . | quote }}, key: {{ include "recorder.databaseKey" . | quote }}}
{{- end -}}

{{- define "recorder.s3Environment" -}}
{{- $static := eq .Values.s3.credentials "static" -}}
{{- $secret := ternary (include "recorder.minioName" .) .Values.s3.existingSecret .Values.evaluation.minio.enabled -}}
- {name: RECORDER_S3_ENDPOINT, value: {{ include "recorder.s3Endpoint" . | quote }}}
- {name: RECORDER_S3_BUCKET, value: {{ .Values.s3.bucket | quote }}}
- {name: RECORDER_S3_REGION, value: {{ .Values.s3.region | quote }}}
- {name: RECORDER_S3_PREFIX, value: {{ .Values.s3.prefix | quote }}}
- {name: RECORDER_S3_ADDRESSING, value: {{ .Values.s3.addressing | quote }}}
- {name: RECORDER_S3_CREDENTIALS, value: {{ ternary "static" .Values.s3.credentials .Values.evaluation.minio.enabled | quote }}}
- {name: RECORDER_S3_ENCRYPTION, value: {{ .Values.s3.encryption | quote }}}
- {name: RECORDER_S3_READ_BACK, value: {{ .Values.s3.readBack | quote }}}
{{- with .Values.s3.kmsKeyId }}
- {name: RECORDER_S3_KMS_KEY_ID, value: {{ . | quote }}}
{{- end }}
{{- if .Values.s3.ca.existingSecret }}
- {name: RECORDER_S3_CA_FILE, value: /etc/recorder/s3-ca/ca.crt}
{{- end }}
{{- if or $static .Values.evaluation.minio.enabled }}
- name: RECORDER_S3_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ $secret | quote }}, key: {{ ternary "access-key" .Values.s3.accessKeyKey .Values.evaluation.minio.enabled | quote }}}
- name: RECORDER_S3_SECRET_KEY
  valueFrom:
    secretKeyRef: {name: {{ $secret | quote }}, key: {{ ternary "secret-key" .Values.s3.secretKeyKey .Values.evaluation.minio.enabled | quote }}}
{{- end }}
{{- end -}}

{{- /* What a serving pod is given: (dict "context" $ "role" "all"). */ -}}
{{- define "recorder.environment" -}}
{{- $role := .role -}}
{{- with .context -}}
- {name: RECORDER_DATA_DIR, value: /data}
- {name: RECORDER_HOST, value: {{ .Values.listenAddress | quote }}}
- {name: RECORDER_GRPC_PORT, value: "50051"}
- {name: RECORDER_HTTP_PORT, value: "8080"}
- {name: RECORDER_METRICS_PORT, value: "9464"}
- {name: RECORDER_PUBLIC_URL, value: {{ include "recorder.publicUrl" . | quote }}}
- {name: RECORDER_DRAIN_GRACE_S, value: {{ include "recorder.plain" .Values.drain.graceSeconds | quote }}}
- name: RECORDER_ADMIN_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ include "recorder.adminTokenSecret" . | quote }}, key: {{ .Values.adminToken.key | quote }}}
{{- if include "recorder.tlsSecret" . }}
- {name: RECORDER_TLS_CERT, value: /etc/recorder/tls/tls.crt}
- {name: RECORDER_TLS_KEY, value: /etc/recorder/tls/tls.key}
{{- if .Values.tls.clientCa.existingSecret }}
- {name: RECORDER_TLS_CLIENT_CA, value: /etc/recorder/client-ca/ca.crt}
{{- end }}
{{- else }}
- {name: RECORDER_ALLOW_PLAINTEXT, value: "true"}
{{- end }}
{{- if include "recorder.databaseSecret" . }}
{{ include "recorder.databaseEnvironment" . }}
- name: RECORDER_CLUSTER_SECRET
  valueFrom:
    secretKeyRef: {name: {{ include "recorder.clusterSecret" . | quote }}, key: {{ .Values.clusterSecret.key | quote }}}
{{- if include "recorder.tlsSecret" . }}
- {name: RECORDER_CLUSTER_CA, value: /etc/recorder/tls/ca.crt}
{{- end }}
{{- if has $role (list "all" "ingest") }}
# Where the pods that do not own a call pass its requests on to.
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: RECORDER_CLUSTER_HOST
  value: "$(POD_NAME).{{ include "recorder.headlessName" . }}.{{ .Release.Namespace }}.svc"
- {name: RECORDER_CLUSTER_ADDRESS, value: {{ printf (ternary "[%s]:50052" "%s:50052" (contains ":" .Values.listenAddress)) .Values.listenAddress | quote }}}
{{- end }}
{{- end }}
{{- if include "recorder.s3Endpoint" . }}
{{ include "recorder.s3Environment" . }}
{{- end }}
{{- with .Values.webhooks.allowCidrs }}
- {name: RECORDER_WEBHOOK_ALLOW_CIDRS, value: {{ join "," . | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: RECORDER_{{ upper $name }}, value: {{ include "recorder.plain" $value | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}
