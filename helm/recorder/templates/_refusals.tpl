{{- /* Wrong combinations that a schema cannot tell: each is refused with one sentence that says the fix. */ -}}
{{- define "recorder.refusals" -}}
{{- $values := .Values -}}
{{- $database := ne (include "recorder.databaseSecret" .) "" -}}
{{- $s3 := ne (include "recorder.s3Endpoint" .) "" -}}
{{- $tls := ne (include "recorder.tlsSecret" .) "" -}}
{{- $both := "give database.existingSecret and s3.endpoint, or to try it out evaluation.postgresql.enabled=true and evaluation.minio.enabled=true" -}}

{{- if and $values.database.existingSecret $values.evaluation.postgresql.enabled -}}
{{- fail "database.existingSecret and evaluation.postgresql.enabled name two databases: give one of them." -}}
{{- end -}}
{{- if and $values.s3.endpoint $values.evaluation.minio.enabled -}}
{{- fail "s3.endpoint and evaluation.minio.enabled name two stores: give one of them." -}}
{{- end -}}
{{- if not (and $database $s3) -}}
{{- if and (gt (int $values.replicaCount) 1) (not $values.autoscaling.enabled) -}}
{{- fail (printf "replicaCount is %d, and pods share calls through a PostgreSQL database and an S3 store: %s, or replicaCount=1." (int $values.replicaCount) $both) -}}
{{- end -}}
{{- if gt (int $values.workers) 1 -}}
{{- fail (printf "workers is %d, and workers share calls through a PostgreSQL database and an S3 store: %s, or workers=1." (int $values.workers) $both) -}}
{{- end -}}
{{- if $values.autoscaling.enabled -}}
{{- fail (printf "autoscaling.enabled needs pods that share a PostgreSQL database and an S3 store: %s, or autoscaling.enabled=false." $both) -}}
{{- end -}}
{{- if $values.roles.separate -}}
{{- fail (printf "roles.separate needs pods that share a PostgreSQL database and an S3 store: %s, or roles.separate=false." $both) -}}
{{- end -}}
{{- end -}}

{{- if $values.s3.endpoint -}}
{{- if and (eq $values.s3.credentials "static") (not $values.s3.existingSecret) -}}
{{- fail "s3.credentials is static without keys: name their Secret in s3.existingSecret, or give s3.credentials=iam." -}}
{{- end -}}
{{- else -}}
{{- if $values.s3.existingSecret -}}
{{- fail "s3.existingSecret has keys for no store: give s3.endpoint, or leave s3.existingSecret empty." -}}
{{- end -}}
{{- if $values.s3.ca.existingSecret -}}
{{- fail "s3.ca.existingSecret has the authority of no store: give s3.endpoint, or leave s3.ca.existingSecret empty." -}}
{{- end -}}
{{- end -}}
{{- if and $values.s3.existingSecret (ne $values.s3.credentials "static") -}}
{{- fail (printf "s3.existingSecret is not used with s3.credentials=%s: leave it empty, or give s3.credentials=static." $values.s3.credentials) -}}
{{- end -}}
{{- if and (eq $values.s3.encryption "sse-kms") (not $values.s3.kmsKeyId) -}}
{{- fail "s3.encryption is sse-kms without a key: give s3.kmsKeyId, or s3.encryption=sse-s3." -}}
{{- end -}}

{{- if and $values.tls.existingSecret $values.tls.certManager.enabled -}}
{{- fail "tls.existingSecret and tls.certManager.enabled name two certificates: give one of them." -}}
{{- end -}}
{{- if and $values.tls.certManager.enabled (not $values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.enabled needs an issuer: give tls.certManager.issuerRef.name, or tls.certManager.enabled=false." -}}
{{- end -}}
{{- if $values.tls.clientCa.existingSecret -}}
{{- if not $tls -}}
{{- fail "tls.clientCa.existingSecret needs a certificate of the server: give tls.existingSecret or tls.certManager.enabled=true, or leave it empty." -}}
{{- end -}}
{{- if and $values.tests.enabled (not $values.tests.clientCertificateSecret) -}}
{{- fail "tls.clientCa.existingSecret keeps the test of `helm test` out: give tests.clientCertificateSecret, or tests.enabled=false." -}}
{{- end -}}
{{- else if $values.tests.clientCertificateSecret -}}
{{- fail "tests.clientCertificateSecret is asked for by nobody: give tls.clientCa.existingSecret, or leave it empty." -}}
{{- end -}}

{{- range $name := list "http" "grpc" -}}
{{- $ingress := get $values.ingress $name -}}
{{- if and $ingress.enabled (not $ingress.host) -}}
{{- fail (printf "ingress.%s.enabled needs a host: give ingress.%s.host, or ingress.%s.enabled=false." $name $name $name) -}}
{{- end -}}
{{- $route := get $values.gateway $name -}}
{{- if and $route.enabled (not $values.gateway.parentRefs) -}}
{{- fail (printf "gateway.%s.enabled needs a Gateway: give gateway.parentRefs, or gateway.%s.enabled=false." $name $name) -}}
{{- end -}}
{{- if and $route.enabled (not $route.hostnames) -}}
{{- fail (printf "gateway.%s.enabled needs a host name: give gateway.%s.hostnames, or gateway.%s.enabled=false." $name $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $values.ingress.http.enabled $values.ingress.grpc.enabled (eq $values.ingress.http.host $values.ingress.grpc.host) -}}
{{- fail (printf "ingress.http.host and ingress.grpc.host are both %s: give two hosts, as gRPC takes all paths of its own." $values.ingress.http.host) -}}
{{- end -}}

{{- if and (not $values.serviceAccount.create) (not $values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false without another account: give serviceAccount.name, or serviceAccount.create=true." -}}
{{- end -}}
{{- if $values.autoscaling.enabled -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas is %d, more than autoscaling.maxReplicas: give at most %d, or a larger maxReplicas." (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (eq $values.autoscaling.metric "cpu") (not (get ($values.resources.requests | default dict) "cpu")) -}}
{{- fail "autoscaling.metric is cpu, which is measured against a request: give resources.requests.cpu, or autoscaling.metric=liveRecordings." -}}
{{- end -}}
{{- end -}}

{{- if $values.networkPolicy.enabled -}}
{{- if and $values.database.existingSecret (not $values.networkPolicy.databaseTo) -}}
{{- fail "networkPolicy.enabled keeps pods from the database: say where it is in networkPolicy.databaseTo, or give networkPolicy.enabled=false." -}}
{{- end -}}
{{- $host := regexReplaceAll "^https?://([^:/]+).*$" $values.s3.endpoint "${1}" -}}
{{- $near := or (regexMatch "(\\.svc|\\.svc\\..*|\\.local|\\.internal)$" $host) (regexMatch "^(10|127|169\\.254|192\\.168|172\\.(1[6-9]|2[0-9]|3[01]))\\." $host) (not (contains "." $host)) -}}
{{- if and $values.s3.endpoint $near (not $values.networkPolicy.storeTo) -}}
{{- fail (printf "networkPolicy.enabled keeps pods from %s, which is not on the internet: say where it is in networkPolicy.storeTo, or give networkPolicy.enabled=false." $values.s3.endpoint) -}}
{{- end -}}
{{- end -}}

{{- if and $values.monitoring.serviceMonitor.enabled $values.monitoring.podMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor.enabled and monitoring.podMonitor.enabled would count everything twice: give one of them." -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if hasPrefix "RECORDER_" .name -}}
{{- fail (printf "extraEnv has %s, which the chart sets: give it under settings (%s), or by the value of its own." .name (.name | trimPrefix "RECORDER_" | lower)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.publicUrl (not (regexMatch "^https?://[^/]+" .Values.publicUrl)) -}}
{{- fail (printf "publicUrl is %s: give it as https://HOST." .Values.publicUrl) -}}
{{- end -}}
{{- end -}}
