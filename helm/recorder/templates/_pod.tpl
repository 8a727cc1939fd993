{{- define "recorder.podSecurity" -}}
runAsNonRoot: true
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- range $name, $id := .Values.podSecurityContext }}
{{- if not (kindIs "invalid" $id) }}
{{ $name }}: {{ include "recorder.plain" $id }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "recorder.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Where and as whom a pod runs; no pod needs the cluster's API. Service links would set RECORDER_HTTP_PORT to an
       address where a Service is called recorder-http. */ -}}
{{- define "recorder.placement" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "recorder.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The template of pods that serve: (dict "context" $ "component" "node" "role" "all" "resources" … "journal" true). */ -}}
{{- define "recorder.podTemplate" -}}
{{- $ := .context -}}
{{- $values := $.Values -}}
{{- $component := .component -}}
metadata:
  labels:
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "recorder.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    recorder/serves: metrics
  annotations:
    kubectl.kubernetes.io/default-container: recorder
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "recorder.serviceAccountName" $ | quote }}
  # The drain and what is left to do after it: a pod that is killed sooner loses no audio, but calls hear of it late.
  terminationGracePeriodSeconds: {{ add (ceil $values.drain.graceSeconds | int) (int $values.drain.marginSeconds) }}
  {{- include "recorder.placement" $ | nindent 2 }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml . | nindent 6 }}
      labelSelector:
        matchLabels:
          {{- include "recorder.selector" $ | nindent 10 }}
          app.kubernetes.io/component: {{ $component }}
    {{- end }}
  {{- end }}
  {{- if $values.evaluation.postgresql.enabled }}
  initContainers:
    # The database starts beside this pod: tried again until it is there.
    - name: migrate
      image: {{ include "recorder.image" $ | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [migrate]
      env:
        {{- include "recorder.databaseEnvironment" $ | nindent 8 }}
      securityContext:
        {{- include "recorder.containerSecurity" $ | nindent 8 }}
      resources:
        {{- toYaml $values.database.migration.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  {{- end }}
  containers:
    - name: recorder
      image: {{ include "recorder.image" $ | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - serve
        {{- if ne .role "all" }}
        - --role={{ .role }}
        {{- end }}
        {{- if and .journal (gt (int $values.workers) 1) }}
        - --workers={{ int $values.workers }}
        {{- end }}
      env:
        {{- include "recorder.environment" (dict "context" $ "role" .role) | nindent 8 }}
      ports:
        {{- if ne .role "dispatcher" }}
        - {name: grpc, containerPort: 50051}
        {{- end }}
        {{- if has .role (list "all" "http") }}
        - {name: http, containerPort: 8080}
        {{- end }}
        {{- if and .journal (include "recorder.databaseSecret" $) }}
        - {name: cluster, containerPort: 50052}
        {{- end }}
        - {name: operations, containerPort: 9464}
      startupProbe:
        httpGet: {path: /healthz, port: operations}
        periodSeconds: {{ int $values.probes.startup.periodSeconds }}
        failureThreshold: {{ int $values.probes.startup.failureThreshold }}
      livenessProbe:
        httpGet: {path: /healthz, port: operations}
        periodSeconds: {{ int $values.probes.liveness.periodSeconds }}
        timeoutSeconds: {{ int $values.probes.liveness.timeoutSeconds }}
        failureThreshold: {{ int $values.probes.liveness.failureThreshold }}
      readinessProbe:
        httpGet: {path: /readyz, port: operations}
        periodSeconds: {{ int $values.probes.readiness.periodSeconds }}
        timeoutSeconds: {{ int $values.probes.readiness.timeoutSeconds }}
        failureThreshold: {{ int $values.probes.readiness.failureThreshold }}
      securityContext:
        {{- include "recorder.containerSecurity" $ | nindent 8 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        {{- if include "recorder.tlsSecret" $ }}
        - {name: tls, mountPath: /etc/recorder/tls, readOnly: true}
        {{- end }}
        {{- if $values.tls.clientCa.existingSecret }}
        - {name: client-ca, mountPath: /etc/recorder/client-ca, readOnly: true}
        {{- end }}
        {{- if $values.s3.ca.existingSecret }}
        - {name: s3-ca, mountPath: /etc/recorder/s3-ca, readOnly: true}
        {{- end }}
  volumes:
    {{- if not .journal }}
    - {name: data, emptyDir: {}}
    {{- end }}
    - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
    {{- with include "recorder.tlsSecret" $ }}
    - name: tls
      # Pods of a cluster know each other by the authority of their certificates: ca.crt.
      secret: {secretName: {{ . | quote }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.tls.clientCa }}
    {{- if .existingSecret }}
    - name: client-ca
      secret: {secretName: {{ .existingSecret | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
    {{- end }}
    {{- end }}
    {{- with $values.s3.ca }}
    {{- if .existingSecret }}
    - name: s3-ca
      secret: {secretName: {{ .existingSecret | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
    {{- end }}
    {{- end }}
{{- end -}}
