/**
 * Settings with which other products speak to this server, as their own
 * configuration files want them. Pure functions of where the server is, whose
 * the data are and with which token.
 *
 * Nearly everything signs in by HTTP Basic: the user names the tenant (any
 * other word names none), the password is the token. That is what these
 * products can send, those without headers of their own too. OpenTelemetry
 * writes headers, so it gets them.
 */

/** What a product does here, which is the one scope its token needs. */
export type Way = 'read' | 'ingest';

export interface Place {
  /** The server as its own pages reach it, without a slash at the end: https://soc.example.gov.cn. */
  base: string;
  /** Slug of the tenant; '' for all of the token's. */
  tenant: string;
  /** The token, or what stands for it. */
  token: string;
  /** Ports of the listeners that are no HTTP, where they are known. */
  syslog?: string;
  otlp?: string;
}

export interface Snippet {
  /** Where the text goes: a file, a menu, a shell. */
  into: string;
  text: string;
}

export type Via = 'grafana' | 'elastic' | 'loki' | 'otlp' | 'write' | 'alerts' | 'http' | 'syslog';

/**
 * What is spoken, and the kinds or ids of the collectors that take it in; none
 * for what is only read, or of which nothing is counted. `whole` where what
 * came is known of all tenants together alone.
 */
export const VIAS: Record<Via, { name: string; collectors: readonly string[]; whole?: boolean }> = {
  grafana: { name: 'Grafana', collectors: [] },
  elastic: { name: 'Elasticsearch _bulk', collectors: ['elastic_bulk'] },
  loki: { name: 'Loki push', collectors: ['loki_push'] },
  otlp: { name: 'OpenTelemetry (OTLP)', collectors: ['otlp', 'otlp_http', 'otlp_grpc'] },
  write: { name: 'Prometheus remote write', collectors: ['remote_write'], whole: true },
  alerts: { name: 'Alertmanager', collectors: [] },
  http: { name: 'HTTP (JSON, CloudEvents)', collectors: ['http_push'] },
  syslog: { name: 'Syslog', collectors: ['syslog', 'syslog_tcp', 'syslog_udp'] },
};

export interface Client {
  id: string;
  name: string;
  way: Way;
  /** What it speaks; how its data arrive is known of that alone. */
  via: Via;
  /** Its data must name their tenant: nothing else decides whose they are. */
  named?: boolean;
  /** A token is no use to it: the listener decides whose the data are. */
  anonymous?: boolean;
  snippets: (p: Place) => Snippet[];
}

/** What stands for the token while none is made. */
export const NO_TOKEN = '<TOKEN>';

const user = (p: Place) => p.tenant || 'icewatch';

/** Host and port of the server, the port always named: shippers have defaults of their own. */
export function authority(base: string): { scheme: string; host: string; port: string } {
  const u = new URL(base);
  const scheme = u.protocol.slice(0, -1);
  return { scheme, host: u.hostname, port: u.port || (scheme === 'https' ? '443' : '80') };
}

function origin(p: Place): string {
  const { scheme, host, port } = authority(p.base);
  return `${scheme}://${host}:${port}`;
}

/** The port at the end of a listener's address (:5514, 0.0.0.0:5514, [::]:5514); '' where there is none. */
export function portOf(listen: string | undefined): string {
  return /:(\d{1,5})$/.exec(listen ?? '')?.[1] ?? '';
}

/** The token and the tenant as headers, each as `write` writes a name and a value. */
const headers = (p: Place, write: (name: string, value: string) => string): string[] => [write('Authorization', `Bearer ${p.token}`), ...(p.tenant ? [write('X-Scope-OrgID', p.tenant)] : [])];
/** The same as OTEL_EXPORTER_OTLP_HEADERS wants them: percent-encoded, by comma; small letters, as gRPC demands. */
const otelHeaders = (p: Place) => `export OTEL_EXPORTER_OTLP_HEADERS="${headers(p, (name, value) => `${name.toLowerCase()}=${value.replaceAll(' ', '%20')}`).join(',')}"`;

function grafana(p: Place, name: string, type: string, path: string, json: readonly string[] = []): Snippet[] {
  return [
    {
      into: 'Grafana · provisioning/datasources/icewatch.yaml',
      text: [
        'apiVersion: 1',
        'datasources:',
        `  - name: ${name}${p.tenant ? ` ${p.tenant}` : ''}`,
        `    type: ${type}`,
        '    access: proxy',
        `    url: ${origin(p)}${path}`,
        '    basicAuth: true',
        `    basicAuthUser: ${user(p)}`,
        ...(json.length > 0 ? ['    jsonData:', ...json.map((l) => `      ${l}`)] : []),
        '    secureJsonData:',
        `      basicAuthPassword: ${p.token}`,
        '',
      ].join('\n'),
    },
  ];
}

/** The output of a product of the Beats family. */
function beat(p: Place, inputs: readonly string[], file: string): Snippet[] {
  return [
    {
      into: file,
      text: [
        ...inputs,
        '',
        'output.elasticsearch:',
        `  hosts: ["${origin(p)}"]`,
        '  path: /elastic',
        `  username: ${user(p)}`,
        `  password: ${p.token}`,
        '  compression_level: 3',
        '',
      ].join('\n'),
    },
  ];
}

export const CLIENTS: readonly Client[] = [
  { id: 'grafana-loki', name: 'Loki', way: 'read', via: 'grafana', snippets: (p) => grafana(p, 'icewatch logs', 'loki', '') },
  { id: 'grafana-prometheus', name: 'Prometheus', way: 'read', via: 'grafana', snippets: (p) => grafana(p, 'icewatch metrics', 'prometheus', '/prometheus', ['httpMethod: POST']) },
  {
    id: 'grafana-elasticsearch',
    name: 'Elasticsearch',
    way: 'read',
    via: 'grafana',
    snippets: (p) => grafana(p, 'icewatch events', 'elasticsearch', '/elastic', ["index: '*'", "timeField: '@timestamp'", 'logMessageField: message', 'logLevelField: log.level']),
  },
  { id: 'grafana-jaeger', name: 'Jaeger', way: 'read', via: 'grafana', snippets: (p) => grafana(p, 'icewatch traces', 'jaeger', '/jaeger') },
  { id: 'grafana-alertmanager', name: 'Alertmanager', way: 'read', via: 'grafana', snippets: (p) => grafana(p, 'icewatch alerts', 'alertmanager', '/alertmanager', ['implementation: prometheus']) },

  {
    id: 'filebeat',
    name: 'Filebeat',
    way: 'ingest',
    via: 'elastic',
    snippets: (p) => beat(p, ['filebeat.inputs:', '  - type: filestream', '    id: system', '    paths: [/var/log/*.log]'], 'filebeat.yml'),
  },
  {
    id: 'winlogbeat',
    name: 'Winlogbeat',
    way: 'ingest',
    via: 'elastic',
    snippets: (p) => beat(p, ['winlogbeat.event_logs:', '  - name: Security', '  - name: System', '  - name: Microsoft-Windows-Sysmon/Operational', '    ignore_older: 72h'], 'winlogbeat.yml'),
  },
  {
    id: 'logstash',
    name: 'Logstash',
    way: 'ingest',
    via: 'elastic',
    snippets: (p) => [
      {
        into: 'pipeline/icewatch.conf',
        text: [
          'output {',
          '  elasticsearch {',
          `    hosts => ["${origin(p)}/elastic"]`,
          `    user => "${user(p)}"`,
          `    password => "${p.token}"`,
          '    data_stream => true',
          '    http_compression => true',
          '    # A retry is stored once where each event has an id of its own.',
          '    # document_id => "%{[event][id]}"',
          '  }',
          '}',
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'vector',
    name: 'Vector',
    way: 'ingest',
    via: 'elastic',
    snippets: (p) => [
      {
        into: 'vector.yaml',
        text: [
          'sources:',
          '  system:',
          '    type: file',
          '    include: [/var/log/*.log]',
          'sinks:',
          '  icewatch:',
          '    type: elasticsearch',
          '    inputs: [system]',
          `    endpoints: ["${origin(p)}/elastic"]`,
          '    api_version: v8',
          '    mode: data_stream',
          '    compression: gzip',
          '    auth:',
          '      strategy: basic',
          `      user: ${user(p)}`,
          `      password: ${p.token}`,
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'alloy',
    name: 'Grafana Alloy',
    way: 'ingest',
    via: 'loki',
    snippets: (p) => [
      {
        into: 'config.alloy',
        text: [
          'local.file_match "system" {',
          '  path_targets = [{ "__path__" = "/var/log/*.log", "host" = constants.hostname }]',
          '}',
          'loki.source.file "system" {',
          '  targets    = local.file_match.system.targets',
          '  forward_to = [loki.write.icewatch.receiver]',
          '}',
          'loki.write "icewatch" {',
          '  endpoint {',
          `    url = "${origin(p)}/loki/api/v1/push"`,
          '    basic_auth {',
          `      username = "${user(p)}"`,
          `      password = "${p.token}"`,
          '    }',
          '  }',
          '}',
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'promtail',
    name: 'Promtail',
    way: 'ingest',
    via: 'loki',
    snippets: (p) => [
      {
        into: 'promtail.yaml',
        text: [
          'positions:',
          '  filename: /var/lib/promtail/positions.yaml',
          'clients:',
          `  - url: ${origin(p)}/loki/api/v1/push`,
          '    basic_auth:',
          `      username: ${user(p)}`,
          `      password: ${p.token}`,
          'scrape_configs:',
          '  - job_name: system',
          '    static_configs:',
          '      - targets: [localhost]',
          '        labels:',
          '          job: varlogs',
          '          host: ${HOSTNAME}',
          '          __path__: /var/log/*.log',
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'fluent-bit',
    name: 'Fluent Bit',
    way: 'ingest',
    via: 'loki',
    snippets: (p) => {
      const { scheme, host, port } = authority(p.base);
      return [
        {
          into: 'fluent-bit.yaml',
          text: [
            'pipeline:',
            '  inputs:',
            '    - name: tail',
            '      path: /var/log/*.log',
            '      tag: system',
            '  outputs:',
            '    - name: loki',
            "      match: '*'",
            `      host: ${host}`,
            `      port: ${port}`,
            `      tls: ${scheme === 'https' ? 'on' : 'off'}`,
            `      http_user: ${user(p)}`,
            `      http_passwd: ${p.token}`,
            '      labels: job=fluent-bit, host=${HOSTNAME}',
            '',
          ].join('\n'),
        },
      ];
    },
  },
  {
    id: 'otel-sdk',
    name: 'OpenTelemetry SDK',
    named: true,
    way: 'ingest',
    via: 'otlp',
    snippets: (p) => [
      {
        into: 'shell',
        text: [
          'export OTEL_SERVICE_NAME=my-service',
          'export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf',
          `export OTEL_EXPORTER_OTLP_ENDPOINT=${origin(p)}/otlp`,
          otelHeaders(p),
          'export OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp',
          '',
        ].join('\n'),
      },
      // The same by gRPC, where its listener is known.
      ...(p.otlp
        ? [
            {
              into: 'shell, gRPC',
              text: [
                'export OTEL_EXPORTER_OTLP_PROTOCOL=grpc',
                `export OTEL_EXPORTER_OTLP_ENDPOINT=${authority(p.base).scheme}://${authority(p.base).host}:${p.otlp}`,
                otelHeaders(p),
                '',
              ].join('\n'),
            },
          ]
        : []),
    ],
  },
  {
    id: 'otel-collector',
    name: 'OpenTelemetry Collector',
    named: true,
    way: 'ingest',
    via: 'otlp',
    snippets: (p) => [
      {
        into: 'config.yaml',
        text: [
          'exporters:',
          '  otlp_http/icewatch: # "otlphttp" before release 0.144',
          `    endpoint: ${origin(p)}/otlp`,
          '    compression: zstd',
          '    headers:',
          ...headers(p, (name, value) => `      ${name}: "${value}"`),
          'service:',
          '  pipelines:',
          ...['traces', 'metrics', 'logs'].flatMap((s) => [`    ${s}:`, '      receivers: [otlp]', '      processors: [batch]', '      exporters: [otlp_http/icewatch]']),
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'prometheus',
    name: 'Prometheus',
    named: true,
    way: 'ingest',
    via: 'write',
    snippets: (p) => [
      {
        into: 'prometheus.yml',
        text: ['remote_write:', `  - url: ${origin(p)}/prometheus/api/v1/write`, '    basic_auth:', `      username: ${user(p)}`, `      password: ${p.token}`, ''].join('\n'),
      },
    ],
  },
  {
    id: 'prometheus-alerts',
    name: 'Prometheus alerts',
    way: 'ingest',
    via: 'alerts',
    snippets: (p) => {
      const { scheme, host, port } = authority(p.base);
      return [
        {
          into: 'prometheus.yml',
          text: [
            'alerting:',
            '  alertmanagers:',
            '    - api_version: v2',
            `      scheme: ${scheme}`,
            '      path_prefix: /alertmanager',
            '      basic_auth:',
            `        username: ${user(p)}`,
            `        password: ${p.token}`,
            '      static_configs:',
            `        - targets: ["${host}:${port}"]`,
            '',
          ].join('\n'),
        },
      ];
    },
  },
  {
    id: 'http-json',
    name: 'HTTP, JSON',
    way: 'ingest',
    via: 'http',
    snippets: (p) => [
      {
        into: 'shell',
        text: [
          `printf '%s\\n' '{"message":"hello","user":{"name":"li"}}' '{"message":"again"}' |`,
          `  curl -u '${user(p)}:${p.token}' -H 'Content-Type: application/x-ndjson' -H 'Idempotency-Key: 1' --data-binary @- ${origin(p)}/ingest/v1/app.audit`,
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'cloudevents',
    name: 'CloudEvents',
    way: 'ingest',
    via: 'http',
    snippets: (p) => [
      {
        into: 'shell',
        text: [
          `curl -u '${user(p)}:${p.token}' -H 'Content-Type: application/cloudevents+json' ${origin(p)}/ingest/v1 -d \\`,
          `  '{"specversion":"1.0","id":"1","source":"/orders","type":"cn.gov.example.order","data":{"message":"hello"}}'`,
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'windows-xml',
    name: 'Windows (wevtutil)',
    way: 'ingest',
    via: 'http',
    snippets: (p) => [
      {
        into: 'PowerShell',
        text: [
          "wevtutil qe Security /c:100 /rd:true /f:RenderedXml /e:Events | Out-File -Encoding utf8 events.xml",
          `curl.exe -u "${user(p)}:${p.token}" -H "Content-Type: application/xml" --data-binary "@events.xml" ${origin(p)}/ingest/v1/windows`,
          '',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'syslog-ng',
    name: 'syslog-ng',
    way: 'ingest',
    via: 'syslog',
    anonymous: true,
    snippets: (p) => [
      {
        into: '/etc/syslog-ng/conf.d/icewatch.conf',
        text: [`destination d_icewatch { syslog("${authority(p.base).host}" port(${p.syslog || '5514'}) transport("tcp")); };`, 'log { source(s_src); destination(d_icewatch); };', ''].join('\n'),
      },
    ],
  },
  {
    id: 'rsyslog',
    name: 'rsyslog',
    way: 'ingest',
    via: 'syslog',
    anonymous: true,
    snippets: (p) => [
      {
        into: '/etc/rsyslog.d/90-icewatch.conf',
        text: [
          `action(type="omfwd" target="${authority(p.base).host}" port="${p.syslog || '5514'}" protocol="tcp"`,
          '       template="RSYSLOG_SyslogProtocol23Format" TCP_Framing="octet-counted"',
          '       queue.type="LinkedList" queue.filename="icewatch" queue.saveonshutdown="on" queue.maxdiskspace="10g"',
          '       action.resumeretrycount="-1")',
          '',
        ].join('\n'),
      },
    ],
  },
];

/** One span, sent by hand: what an empty page of traces offers to try. */
export function curlSpan(p: Place): string {
  return [
    `curl -u '${user(p)}:${p.token}' -H 'Content-Type: application/json' ${origin(p)}/otlp/v1/traces -d @- <<EOF`,
    '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hello"}}]},',
    ' "scopeSpans":[{"spans":[{"traceId":"$(openssl rand -hex 16)","spanId":"$(openssl rand -hex 8)","name":"GET /","kind":2,',
    '  "startTimeUnixNano":"$(date +%s)000000000","endTimeUnixNano":"$(date +%s)250000000"}]}]}]}',
    'EOF',
  ].join('\n');
}
