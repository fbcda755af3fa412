{{- define "dqa.labels" -}}
app.kubernetes.io/name: dqa
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dqa.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "dqa.coordinator" -}}
{{ .Release.Name }}-coord
{{- end }}

{{- define "dqa.url" -}}
{{ if .Values.tls.coordinator }}https{{ else }}http{{ end }}://{{ include "dqa.coordinator" . }}:7070
{{- end }}

{{- define "dqa.pod" -}}
serviceAccountName: {{ .Release.Name }}
automountServiceAccountToken: false
# Otherwise a Service `dqa-...` would set variables DQA_..., which the programs read as flags.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "dqa.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.storeSecrets }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Of a scheme. A kubelet has no certificate to show; these pages ask for none. */ -}}
{{- define "dqa.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: dqa, scheme: {{ . }}}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: dqa, scheme: {{ . }}}
  periodSeconds: 5
{{- end }}

{{- /* Whether clients show certificates. */ -}}
{{- define "dqa.mutual" -}}
{{- if and .Values.tls.coordinator .Values.tls.mutual }}yes{{ end }}
{{- end }}
