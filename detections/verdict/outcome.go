package verdict

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"icewatch/detections"
)

// outcome says how far an attack got and by what that shows. What proves more
// is asked before what proves less, and what proves nothing is an attempt: a
// verdict that flatters helps nobody.
func (t *Taxonomy) outcome(f facts, r *Rule, w way) (detections.Verdict, detections.Text) {
	if v := r.claims.Verdict; v != "" {
		return v, detections.Text{ZH: "规则自身声明了判定", EN: "The rule itself says so"}
	}
	if r.attack == nil && r.phase == "" && !f.has("event.kind", "alert") {
		return "", detections.Text{}
	}
	for _, say := range []func(facts, *Rule, way) (detections.Verdict, detections.Text){
		t.body, t.action, t.cleanedUp, t.signIn, t.answer, database, execution, t.talk, looking, t.let, plain,
	} {
		if v, why := say(f, r, w); v != "" {
			return v, why
		}
	}
	return detections.Attempt, detections.Text{ZH: "日志只说明发起了攻击，没有说明结果", EN: "What is logged tells that it was tried, and not what came of it"}
}

func verdict(v detections.Verdict, zh, en string, args ...any) (detections.Verdict, detections.Text) {
	return v, detections.Text{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)}
}

func none() (detections.Verdict, detections.Text) { return "", detections.Text{} }

// bodies are the fields in which logs have the body of an answer.
var bodies = []string{"http.response.body.content", "http.response.body", "suricata.eve.http.http_response_body_printable", "response_body", "resp_body"}

// body looks for marks in the answer's body.
func (t *Taxonomy) body(f facts, r *Rule, _ way) (detections.Verdict, detections.Text) {
	text := f.get(bodies...)
	if text == "" {
		return none()
	}
	if r.attack != nil {
		if mark := find(r.attack.success, text); mark != "" {
			return verdict(detections.Success, "应答内容显示攻击生效：“%s”", "The answer shows that it worked: “%s”", mark)
		}
		if mark := find(r.attack.failure, text); mark != "" {
			return verdict(detections.Failed, "应答内容显示攻击未生效：“%s”", "The answer shows that it did not work: “%s”", mark)
		}
	}
	if mark := find(t.blockPages, text); mark != "" {
		return verdict(detections.Failed, "应答是防护设备的拦截页面：“%s”", "The answer is the page of a firewall that stopped it: “%s”", mark)
	}
	return none()
}

// maxMark bounds what of an answer a reason cites, in runes.
const maxMark = 80

func find(list []*regexp.Regexp, text string) string {
	for _, re := range list {
		if m := re.FindString(text); m != "" {
			if runes := []rune(m); len(runes) > maxMark {
				m = string(runes[:maxMark]) + "…"
			}
			return m
		}
	}
	return ""
}

// action asks whether a device between the two stopped it.
func (t *Taxonomy) action(f facts, r *Rule, w way) (detections.Verdict, detections.Text) {
	name, value := t.said(f, t.refused)
	if name == "" {
		return none()
	}
	device := f.get("observer.name", "observer.product", "observer.vendor", "host.name")
	if w.fromVictim {
		return verdict(detections.Failed, "外连被 %s 阻断（%s=%s）；发起外连的主机仍需检查", "%s stopped the connection out (%s=%s); the machine that made it still needs a look", orUnknown(device), name, value)
	}
	return verdict(detections.Failed, "被 %s 阻断（%s=%s）", "%s stopped it (%s=%s)", orUnknown(device), name, value)
}

func orUnknown(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

// actionFields are the last parts of names under which devices tell what they did.
var actionFields = []string{"action", "act", "disposition", "action_taken", "actiontaken", "deviceaction", "handle_action", "filter_action"}

// said finds a field by which a device says one of the words.
func (t *Taxonomy) said(f facts, words []string) (name, value string) {
	if f.has("event.type", "denied") && slices.Contains(words, "denied") {
		return "event.type", "denied"
	}
	if f.has("event.type", "allowed") && slices.Contains(words, "allowed") {
		return "event.type", "allowed"
	}
	best, device := "", f.has("event.category", "network", "intrusion_detection", "web", "malware", "email") || f.has("event.kind", "alert")
	for field, text := range f.o.Fields {
		last := field[strings.LastIndexByte(field, '.')+1:]
		if !slices.Contains(actionFields, strings.ToLower(last)) || best != "" && field > best {
			continue
		}
		if field == "event.action" && !device {
			continue // what happened, not what was done about it
		}
		for _, v := range split(text) {
			if tells(v, words) {
				best, value = field, v
			}
		}
	}
	return best, value
}

// tells tells whether one of the words stands in a value, and no negation before it.
func tells(value string, words []string) bool {
	value = strings.ToLower(value)
	tokens := strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) })
	for i, token := range tokens {
		if slices.Contains(words, token) && (i == 0 || tokens[i-1] != "not" && tokens[i-1] != "no") {
			return true
		}
	}
	for _, w := range words {
		at := strings.Index(value, w)
		if w[0] >= 0x80 && at >= 0 && !strings.HasSuffix(value[:at], "未") && !strings.HasSuffix(value[:at], "不") {
			return true
		}
	}
	return false
}

// cleanedUp asks whether a scanner took a malicious file away.
func (t *Taxonomy) cleanedUp(f facts, _ *Rule, _ way) (detections.Verdict, detections.Text) {
	if !f.has("event.category", "malware") {
		return none()
	}
	if name, value := t.said(f, t.cleaned); name != "" {
		return verdict(detections.Failed, "恶意程序已被处置（%s=%s）", "The malware was taken care of (%s=%s)", name, value)
	}
	return none()
}

// windowsLogons are the event ids by which Windows tells of signing in, and
// whether it worked.
var windowsLogons = map[string]bool{"4624": true, "4625": false, "4771": false, "4648": true}

// login tells whether the event is about signing in.
func login(f facts) bool {
	if f.has("event.category", "authentication") {
		return true
	}
	_, windows := windowsLogons[f.get("event.code")]
	if windows && strings.Contains(strings.ToLower(f.get("event.provider", "winlog.provider_name", "winlog.channel")), "security") {
		return true
	}
	action := strings.ToLower(f.get("event.action"))
	return strings.HasSuffix(action, "login") || strings.HasSuffix(action, "logon") || strings.HasSuffix(action, "signin") || strings.HasSuffix(action, "sign-in") ||
		strings.HasSuffix(action, "pam_auth")
}

// signIn judges signing in: guessing goes on until it works.
func (t *Taxonomy) signIn(f facts, r *Rule, _ way) (detections.Verdict, detections.Text) {
	if !login(f) {
		return none()
	}
	outcome := f.get("event.outcome")
	if worked, windows := windowsLogons[f.get("event.code")]; outcome == "" && windows {
		outcome = map[bool]string{true: "success", false: "failure"}[worked]
	}
	user := orUnknown(f.get("user.name", "user.target.name"))
	switch outcome {
	case "success":
		return verdict(detections.Success, "账号 %s 登录成功", "The account %s signed in", user)
	case "failure":
		if f.o.Count > 1 {
			return verdict(detections.Failed, "共 %d 次，最后一次登录失败", "%d times, and the last sign-in failed", f.o.Count)
		}
		return verdict(detections.Failed, "账号 %s 登录失败", "The account %s failed to sign in", user)
	}
	return none()
}

// answer judges a request to a web server by what the server answered.
func (t *Taxonomy) answer(f facts, r *Rule, _ way) (detections.Verdict, detections.Text) {
	status, err := strconv.Atoi(f.get("http.response.status_code", "sc-status", "suricata.eve.http.status", "http.status", "zeek.http.status_code"))
	if err != nil || status < 100 || status > 599 {
		return none()
	}
	method := strings.ToUpper(f.get("http.request.method", "cs-method"))
	size := f.get("http.response.body.bytes", "http.response.bytes", "sc-bytes", "suricata.eve.http.length")
	switch {
	case status == 404 || status == 410:
		return verdict(detections.Failed, "应答 %d：目标不存在", "Answered %d: what it was aimed at does not exist", status)
	case status == 401 || status == 403 || status == 407 || status == 451:
		return verdict(detections.Failed, "应答 %d：请求被拒绝", "Answered %d: the request was refused", status)
	case status >= 400 && status < 500:
		return verdict(detections.Failed, "应答 %d：服务器不接受该请求", "Answered %d: the server did not take the request", status)
	case status >= 500:
		return verdict(detections.Attempt, "应答 %d：请求使服务器出错，未显示攻击生效", "Answered %d: the request made the server fail, which does not show that the attack worked", status)
	case status >= 300:
		return verdict(detections.Attempt, "应答 %d：被重定向，未显示攻击生效", "Answered %d: sent elsewhere, which does not show that the attack worked", status)
	case (method == "PUT" || method == "MKCOL" || method == "MOVE" || method == "COPY") && (status == 201 || status == 204):
		return verdict(detections.Success, "应答 %d：文件已写入服务器", "Answered %d: the file was written to the server", status)
	case size == "0":
		return verdict(detections.Attempt, "应答 %d 但内容为空，未显示攻击生效", "Answered %d with nothing in it, which does not show that the attack worked", status)
	case f.get(bodies...) != "":
		return verdict(detections.Attempt, "应答 %d，内容中没有攻击生效的特征", "Answered %d, and nothing in the answer shows that the attack worked", status)
	case size != "":
		return verdict(detections.Attempt, "应答 %d（%s 字节）：服务器处理了请求，未记录应答内容，不能说明攻击生效", "Answered %d (%s bytes): the server took the request; without the answer's content that does not show that the attack worked", status, size)
	default:
		return verdict(detections.Attempt, "应答 %d：服务器处理了请求，未记录应答内容，不能说明攻击生效", "Answered %d: the server took the request; without the answer's content that does not show that the attack worked", status)
	}
}

// database judges a statement by what the database made of it.
func database(f facts, _ *Rule, _ way) (detections.Verdict, detections.Text) {
	if !f.has("event.category", "database") {
		return none()
	}
	reason := f.get("error.message", "error.code", "db.response.status_code")
	switch f.get("event.outcome") {
	case "failure":
		if reason != "" {
			return verdict(detections.Failed, "数据库报错：%s", "The database answered with an error: %s", clip(reason))
		}
		return verdict(detections.Failed, "数据库没有执行", "The database did not do it")
	case "success":
		return verdict(detections.Success, "数据库执行了语句", "The database did it")
	}
	return none()
}

func clip(s string) string {
	if runes := []rune(s); len(runes) > maxMark {
		return string(runes[:maxMark]) + "…"
	}
	return s
}

// onHost are the categories of events by which a machine tells what was done on it.
var onHost = []string{"process", "file", "registry", "driver", "library", "configuration", "iam", "package", "session"}

// execution judges what a machine tells of itself: it was done there, unless
// it says that it was not. From the phase of installation on that is the machine
// doing what the attacker wants, where the rule is sure enough to be grave.
func execution(f facts, r *Rule, w way) (detections.Verdict, detections.Text) {
	if !f.has("event.category", onHost...) || f.has("observer.type", "firewall", "switch", "router", "ids") {
		return none() // A device between tells of others, or of a setting of its own.
	}
	if code := f.get("process.exit_code"); code != "" && code != "0" {
		return verdict(detections.Failed, "命令失败，退出码 %s", "The command failed with exit code %s", code)
	}
	if f.get("event.outcome") == "failure" {
		return verdict(detections.Failed, "主机记录该操作失败", "The machine tells that it failed")
	}
	if r.grave && slices.Index(detections.Phases, r.phase) >= slices.Index(detections.Phases, "installation") && r.phase != "" {
		return verdict(detections.Compromised, "主机自身记录了入侵之后才有的行为", "The machine itself tells of what only follows an intrusion")
	}
	return verdict(detections.Success, "主机自身记录该操作已执行", "The machine itself tells that it was done")
}

// talk judges a connection that the victim makes to the attacker.
func (t *Taxonomy) talk(f facts, r *Rule, w way) (detections.Verdict, detections.Text) {
	if !w.fromVictim && !(r.attack != nil && r.attack.Tunnel && w.direction != "inbound") {
		return none()
	}
	switch code := f.get("dns.response_code"); {
	case code == "NOERROR":
		return verdict(detections.Compromised, "受害主机主动解析可疑域名并得到应答", "The victim itself asked for the name, and was answered")
	case code != "":
		return verdict(detections.Attempt, "受害主机主动解析可疑域名，应答 %s", "The victim itself asked for the name, and was answered %s", code)
	}
	back, _ := strconv.ParseInt(f.get("destination.bytes", "server.bytes"), 10, 64)
	sent, _ := strconv.ParseInt(f.get("source.bytes", "client.bytes"), 10, 64)
	state := strings.ToUpper(f.get("zeek.connection.state", "suricata.eve.flow.state"))
	switch {
	case back > 0:
		return verdict(detections.Compromised, "受害主机主动外连，对方有应答（%d 字节）", "The victim itself connected out, and was answered (%d bytes)", back)
	case state == "SF" || state == "ESTABLISHED" || state == "CLOSED":
		return verdict(detections.Compromised, "受害主机主动外连，连接已建立", "The victim itself connected out, and the connection stood")
	case state == "S0" || state == "REJ" || f.get("event.outcome") == "failure":
		return verdict(detections.Failed, "受害主机主动外连，连接未建立；该主机仍需检查", "The victim itself tried to connect out, and the connection did not stand; it still needs a look")
	case sent > 0 && slices.Contains([]string{"exfiltration", "tunnel"}, attackID(r)):
		return verdict(detections.Compromised, "受害主机向外发送了 %d 字节", "The victim itself sent %d bytes out", sent)
	}
	if name, value := t.said(f, t.passed); name != "" {
		return verdict(detections.Compromised, "受害主机主动外连且被放行（%s=%s）", "The victim itself connected out, and was let through (%s=%s)", name, value)
	}
	return verdict(detections.Attempt, "受害主机主动外连，日志未说明连接是否建立", "The victim itself connected out; what is logged does not tell whether the connection stood")
}

func attackID(r *Rule) string {
	if r.attack == nil {
		return ""
	}
	return r.attack.ID
}

// looking is for what only looks around.
func looking(_ facts, r *Rule, _ way) (detections.Verdict, detections.Text) {
	if r.phase != "reconnaissance" {
		return none()
	}
	return verdict(detections.Attempt, "侦察只说明意图", "Looking around shows no more than what somebody is after")
}

// let is for what a device saw and let pass: that it arrived is not that it worked.
func (t *Taxonomy) let(f facts, _ *Rule, _ way) (detections.Verdict, detections.Text) {
	if name, value := t.said(f, t.passed); name != "" && f.has("event.category", "network", "intrusion_detection", "web") {
		return verdict(detections.Attempt, "设备未阻断（%s=%s），未显示攻击生效", "It was not stopped (%s=%s), which does not show that it worked", name, value)
	}
	return none()
}

// plain goes by the event's own word where nothing else tells.
func plain(f facts, _ *Rule, _ way) (detections.Verdict, detections.Text) {
	if f.has("event.category", "network", "intrusion_detection", "web") {
		return none() // there it tells of the connection, not of the attack
	}
	switch f.get("event.outcome") {
	case "success":
		return verdict(detections.Success, "日志记录结果为成功", "It is logged as a success")
	case "failure":
		return verdict(detections.Failed, "日志记录结果为失败", "It is logged as a failure")
	}
	return none()
}
