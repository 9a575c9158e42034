{{/*
The agent as a sidecar of another chart's pod. That chart has this one among its dependencies, with

  activity-agent:
    api: {enabled: false}
    sidecar: {enabled: true, container: NAME-OF-ITS-CONTAINER}

in its values, and puts into its pod's template, with $agent := index .Subcharts "activity-agent":

  {{- include "activity-agent.sidecar.pod" $agent | nindent 6 }}             under spec
  {{- include "activity-agent.sidecar.container" $agent | nindent 8 }}       under initContainers
  {{- include "activity-agent.sidecar.logs" $agent | nindent 12 }}           under its own container's volumeMounts
  {{- include "activity-agent.sidecar.volumes" $agent | nindent 8 }}         under volumes

deploy/helm/examples/shop does so.
*/}}

{{/* What the whole pod needs. */}}
{{- define "activity-agent.sidecar.pod" -}}
automountServiceAccountToken: false
# The application ends first, then the agent, which delivers what is left: the time is for both.
terminationGracePeriodSeconds: {{ .Values.sidecar.terminationGracePeriodSeconds }}
securityContext:
  # Makes the volumes writable for this group, whatever user a container runs as.
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
{{- end -}}

{{/* An entry of initContainers. restartPolicy Always makes it a sidecar: it starts before the application, runs beside it,
ends after it, and does not keep a Job from completing. */}}
{{- define "activity-agent.sidecar.container" -}}
- name: activity-agent
  image: {{ include "activity-agent.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: ["run", "-c", "/etc/activity-agent/agent.yaml"]
  env:
    {{- include "activity-agent.env" .Values.sidecar | nindent 4 }}
  ports:
    - name: admin
      containerPort: 8482
  # Both ask only whether the agent itself runs. There is no readiness probe, which would count for the whole pod.
  startupProbe:
    httpGet: {path: /livez, port: admin}
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /livez, port: admin}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext:
    {{- include "activity-agent.securityContext" . | nindent 4 }}
  volumeMounts:
    - name: activity-agent-config
      mountPath: /etc/activity-agent
      readOnly: true
    - name: activity-agent-secret
      mountPath: /etc/activity-agent-secret
      readOnly: true
    - name: activity-agent-state
      mountPath: /var/lib/activity-agent
    - name: {{ .Values.sidecar.logs.volume }}
      mountPath: {{ .Values.sidecar.logs.mountPath }}
      readOnly: true
{{- end -}}

{{/* The application's mount of the volume that it writes its logs to. */}}
{{- define "activity-agent.sidecar.logs" -}}
- name: {{ .Values.sidecar.logs.volume }}
  mountPath: {{ .Values.sidecar.logs.mountPath }}
{{- end -}}

{{/* The pod's volumes. A pod whose volume outgrows its limit is evicted. */}}
{{- define "activity-agent.sidecar.volumes" -}}
- name: activity-agent-config
  configMap:
    name: {{ include "activity-agent.fullname" . }}-sidecar
- name: activity-agent-secret
  secret:
    secretName: {{ .Values.existingSecret }}
    defaultMode: 0440
- name: activity-agent-state
  emptyDir:
    sizeLimit: {{ .Values.sidecar.state.sizeLimit }}
- name: {{ .Values.sidecar.logs.volume }}
  emptyDir:
    sizeLimit: {{ .Values.sidecar.logs.sizeLimit }}
{{- end -}}
