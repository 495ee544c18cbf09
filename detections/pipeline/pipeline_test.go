package pipeline

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"icewatch/detections/sigma"
)

// rule makes a Windows process rule of a detection in YAML's flow style.
func rule(t *testing.T, detection string) *sigma.Rule {
	t.Helper()
	return parseRule(t, "title: T\nid: 0d6c1e0f-7ae1-4a5e-9ab5-3e3e3b1f2c11\nstatus: test\nlevel: high\ntags: [attack.execution]\nlogsource: {product: windows, category: process_creation}\nfields: [CommandLine, Image]\ndetection: "+detection+"\n")
}

func parseRule(t *testing.T, text string) *sigma.Rule {
	t.Helper()
	rules, errs := sigma.Parse([]byte(text), &sigma.Options{KeepPlaceholders: true})
	if len(errs) > 0 {
		t.Fatalf("%s\n%v", text, errs[0])
	}
	return rules[0]
}

// show writes a condition with its items in full.
func show(r *sigma.Rule) string {
	var expr func(e *sigma.Expr) string
	expr = func(e *sigma.Expr) string {
		var args []string
		for _, a := range e.Args {
			args = append(args, expr(a))
		}
		switch e.Op {
		case sigma.ExprSelection:
			return showGroup(r.Detection.Selections[e.Selection].Root)
		case sigma.ExprNot:
			return "not " + args[0]
		case sigma.ExprAnd:
			return "(" + strings.Join(args, " and ") + ")"
		case sigma.ExprOr:
			return "(" + strings.Join(args, " or ") + ")"
		}
		return fmt.Sprintf("%d of (%s)", e.N, strings.Join(args, ", "))
	}
	return expr(r.Detection.Condition)
}

func showGroup(g *sigma.Group) string {
	var parts []string
	for _, it := range g.Items {
		parts = append(parts, showItem(it))
	}
	for _, sub := range g.Groups {
		parts = append(parts, showGroup(sub))
	}
	word := " | "
	if g.All {
		word = " & "
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "[" + strings.Join(parts, word) + "]"
}

func showItem(it *sigma.Item) string {
	var values []string
	for _, v := range it.Values {
		switch v.Op {
		case sigma.OpPattern:
			values = append(values, display(v.Pattern))
		case sigma.OpNumber:
			values = append(values, "#"+numeral(v.Number))
		case sigma.OpFieldRef:
			values = append(values, "@"+strings.Join(append([]string{v.Field}, v.Also...), "/"))
		case sigma.OpNull:
			values = append(values, "null")
		case sigma.OpRegex:
			values = append(values, "/"+v.Regex+"/")
		default:
			values = append(values, fmt.Sprint("op", v.Op))
		}
	}
	join := ","
	if it.All {
		join = "+"
	}
	s := strings.Join(namesOf(it), "/") + "=" + strings.Join(values, join)
	if it.Negate {
		s = "!" + s
	}
	return s
}

func parsePipeline(t *testing.T, transformations string) *Pipeline {
	t.Helper()
	p, err := Parse([]byte("name: test\npriority: 10\nvars:\n  servers: [a, b]\ntransformations:\n" + transformations))
	if err != nil {
		t.Fatalf("%s\n%v", transformations, err)
	}
	return p
}

func TestTransformations(t *testing.T) {
	t.Parallel()
	f := func(name, detection, transformations, want string) {
		t.Helper()
		r := rule(t, detection)
		before := show(r)
		out, err := parsePipeline(t, transformations).Apply(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got := show(out); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		if show(r) != before {
			t.Errorf("%s changed the rule it was given", name)
		}
	}
	const image = `{s: {Image|endswith: '\a.exe', CommandLine: x}, condition: s}`

	// Field names.
	f("one to one", image, "- {type: field_name_mapping, mapping: {Image: process.executable}}", `[process.executable=*\a.exe & CommandLine=x]`)
	f("one to many", image, "- {type: field_name_mapping, mapping: {Image: [a, b]}}", `[a/b=*\a.exe & CommandLine=x]`)
	f("keep", image, "- {type: field_name_mapping, keep: true, mapping: {Image: a}}", `[a/Image=*\a.exe & CommandLine=x]`)
	f("prefix beside", image, "- {type: field_name_prefix, prefix: winlog.event_data., keep: true}\n- {type: field_name_mapping, keep: true, mapping: {Image: process.executable}}",
		`[winlog.event_data.Image/process.executable/Image=*\a.exe & winlog.event_data.CommandLine/CommandLine=x]`)
	f("prefix", image, "- {type: field_name_prefix, prefix: win.}", `[win.Image=*\a.exe & win.CommandLine=x]`)
	f("suffix", image, "- {type: field_name_suffix, suffix: .keyword}", `[Image.keyword=*\a.exe & CommandLine.keyword=x]`)
	f("prefix mapping, first one wins", image, "- {type: field_name_prefix_mapping, mapping: {Im: [x., y.], Image: z.}}", `[x.age/y.age=*\a.exe & CommandLine=x]`)
	f("transform", image, "- {type: field_name_transform, method: snake_case, mapping: {Image: exe}}", `[exe=*\a.exe & command_line=x]`)
	f("include", image, "- {type: field_name_suffix, suffix: '!', field_name_conditions: [{type: include_fields, fields: [Image]}]}", `[Image!=*\a.exe & CommandLine=x]`)
	f("exclude by expression", image, "- {type: field_name_suffix, suffix: '!', field_name_conditions: [{type: exclude_fields, mode: re, fields: ['Im']}]}", `[Image=*\a.exe & CommandLine!=x]`)
	f("field name processed", image, "- {id: m, type: field_name_mapping, mapping: {Image: exe}}\n- {type: field_name_prefix, prefix: w., field_name_cond_not: true, field_name_conditions: [{type: processing_item_applied, processing_item_id: m}]}",
		`[exe=*\a.exe & w.CommandLine=x]`)
	f("keyword to field", `{s: [foo, bar], condition: s}`, "- {type: field_name_mapping, mapping: {null: message}}", `message=*foo*,*bar*`)
	f("keywords stay", `{s: [foo], condition: s}`, "- {type: field_name_prefix, prefix: w.}", `=*foo*`)
	f("field reference", `{s: {User|fieldref: Owner}, condition: s}`, "- {type: field_name_mapping, mapping: {Owner: [file.owner, o], User: user.name}}", `user.name=@file.owner/o`)

	// Values.
	f("map", `{s: {A: ['x', 'y*'], B: x}, condition: s}`, "- {type: map_string, mapping: {x: [one, 'tw*'], 'y*': three}, field_name_conditions: [{type: include_fields, fields: [A]}]}", `[A=one,tw*,three & B=x]`)
	f("replace", `{s: {A: 'C:\Windows\*'}, condition: s}`, `- {type: replace_string, regex: '^C:\\(\w+)', replacement: 'D:\\\1'}`, `A=D:\Windows*`)
	f("replace in literals", `{s: {A: 'a*a'}, condition: s}`, `- {type: replace_string, regex: 'a', replacement: 'b*', skip_special: true}`, `A=b**b*`)
	f("replace in literals with wildcards", `{s: {A: 'x*a'}, condition: s}`, `- {type: replace_string, regex: 'a', replacement: 'b?', skip_special: true, interpret_special: true}`, `A=x*b?`)
	f("replace a number", `{s: {A: 42}, condition: s}`, `- {type: replace_string, regex: '^', replacement: 'n$'}`, `A=n$42`)
	f("set", `{s: {A: [x, y]}, condition: s}`, "- {type: set_value, value: 7}", `A=#7,#7`)
	f("set as text", `{s: {A: x}, condition: s}`, "- {type: set_value, value: 7, force_type: str}", `A=7`)
	f("to text", `{s: {A: 7}, condition: s}`, "- {type: convert_type, target_type: str}", `A=7`)
	f("to number", `{s: {A: '7'}, condition: s}`, "- {type: convert_type, target_type: num}", `A=#7`)
	f("map a value of which all count", `{s: {A|all: [x, y]}, condition: s}`, "- {type: map_string, mapping: {x: [p, q]}}", `[A=p,q & A=y]`)
	f("placeholders", `{s: {A|expand|endswith: '-%servers%', B|expand: '%other%'}, condition: s}`, "- {type: value_placeholders, include: [servers]}\n- {type: wildcard_placeholders}", `[A=*-a,*-b & B=*]`)
	f("placeholders left", `{s: {A|expand: '%servers%'}, condition: s}`, "- {type: value_placeholders, exclude: [servers]}", `A=%servers%`)
	f("case", `{s: {A: 'Ab*C'}, condition: s}`, "- {type: case, method: upper}", `A=AB*C`)

	// Items.
	f("drop", image, "- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [Image]}]}", `CommandLine=x`)
	f("drop a selection", `{s: {A: x}, f: {B: y}, condition: s and not f}`, "- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [B]}]}", `A=x`)
	f("drop one name of several", `{s: {A: x}, condition: s}`, "- {type: field_name_mapping, mapping: {A: [b, c]}}\n- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [b]}]}", `c=x`)
	f("drop by value", `{s: {A: x, B: 'y*', C: null}, condition: s}`, "- {type: drop_detection_item, detection_item_cond_op: or, detection_item_conditions: [{type: contains_wildcard, cond: any}, {type: is_null, cond: any}]}", `A=x`)
	f("values of several names", `{s: {A: x}, condition: s}`, "- {type: field_name_mapping, mapping: {A: [b, c]}}\n- {type: case, method: upper, field_name_conditions: [{type: include_fields, fields: [b]}]}", `[c=x | b=X]`)
	f("hashes", `{s: {Hashes|contains: ['MD5=987B65CD9B9F4E9A1AFD8F8B48CF64A7', 'IMPHASH=0']}, condition: s}`, "- {type: hashes_fields, valid_hash_algos: [MD5, IMPHASH], field_prefix: h.}", `[h.MD5=987B65CD9B9F4E9A1AFD8F8B48CF64A7 | h.IMPHASH=0*]`)
	f("hashes, unknown ones stay", `{s: {Hashes|contains: ['MD5=98', 'TLSH=1']}, condition: s}`, "- {type: hashes_fields, valid_hash_algos: [MD5], field_prefix: h, drop_algo_prefix: true}", `[h=98* | Hashes=*TLSH=1*]`)
	f("split", `{s: {User: ['NT AUTHORITY\SYSTEM', '*\adm*', root]}, condition: s}`, `- {type: split_field, into: [user.domain, user.name], field_name_conditions: [{type: include_fields, fields: [User]}]}`,
		`[user.name=root | [user.domain=NT AUTHORITY & user.name=SYSTEM] | user.name=adm*]`)
	f("split, anywhere", `{s: {User|contains: [AUTHORI, AUTORI]}, condition: s}`, `- {type: split_field, into: [d, n]}`, `d/n=*AUTHORI*,*AUTORI*`)
	f("any of", `{s: {Initiated: 'true'}, condition: s}`, `- {type: any_of, alternatives: [[{type: map_string, mapping: {'true': [egress, outbound]}}, {type: field_name_mapping, mapping: {Initiated: network.direction}}]]}`,
		`[Initiated=true | network.direction=egress,outbound]`)
	f("any of, negated", `{s: {Initiated|neq: 'true'}, condition: s}`, `- {type: any_of, alternatives: [[{type: split_field, into: [a, b], separator: 'r'}]]}`,
		`[!Initiated=true & [!a=t | !b=ue]]`)
	f("any of, nothing else", image, `- {type: any_of, alternatives: [[{type: map_string, mapping: {nowhere: x}}]]}`, `[Image=*\a.exe & CommandLine=x]`)

	// Rules.
	f("add", `{s: {A: x}, t: {B: y}, condition: s or t}`, `- {type: add_condition, conditions: {Channel: [Security, '${category}-$product'], n|endswith: z}, template: true}`,
		`([Channel=Security,process_creation-windows & n=*z] and (A=x or B=y))`)
	f("add a negation", `{s: {A: x}, condition: s}`, `- {type: add_condition, conditions: {B: 1}, negated: true}`, `(not B=#1 and A=x)`)
	f("change the log source", `{s: {A: x}, condition: s}`, "- {type: change_logsource, product: linux}\n- {type: field_name_suffix, suffix: L, rule_conditions: [{type: logsource, product: linux}]}\n- {type: field_name_suffix, suffix: W, rule_conditions: [{type: logsource, product: windows}]}", `AL=x`)
	f("nest", `{s: {A: x}, condition: s}`, `
- type: nest
  items:
  - {id: inner, type: field_name_suffix, suffix: '1'}
  - {type: field_name_suffix, suffix: '2', rule_conditions: [{type: processing_item_applied, processing_item_id: inner}]}
  - {type: field_name_suffix, suffix: '3', rule_conditions: [{type: processing_item_applied, processing_item_id: other}]}`, `A12=x`)
	f("state", `{s: {A: x}, condition: s}`, "- {type: set_state, key: k, val: 3}\n- {type: field_name_suffix, suffix: '1', rule_conditions: [{type: processing_state, key: k, val: 2, op: gt}]}", `A1=x`)
}

func TestRuleConditions(t *testing.T) {
	t.Parallel()
	f := func(conditions string, want bool) {
		t.Helper()
		r := rule(t, `{s: {A: [x, 5], B|contains: y}, condition: s}`)
		out, err := parsePipeline(t, "- {type: field_name_suffix, suffix: '!', "+conditions+"}").Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := out != r; got != want {
			t.Errorf("%s: applied %v", conditions, got)
		}
	}
	one := func(c string, want bool) { t.Helper(); f("rule_conditions: [{"+c+"}]", want) }
	one("type: logsource, product: windows", true)
	one("type: logsource, product: windows, service: sysmon", false)
	one("type: logsource, category: process_creation", true)
	one("type: contains_detection_item, field: A, value: x", true)
	one("type: contains_detection_item, field: A, value: 5", true)
	one("type: contains_detection_item, field: A, value: '5'", false)
	one("type: contains_detection_item, field: B, value: y", false)
	one("type: contains_detection_item, field: B, value: '*y*'", true)
	one("type: contains_field, field: B", true)
	one("type: contains_field, field: C", false)
	one("type: is_sigma_rule", true)
	one("type: is_sigma_correlation_rule", false)
	one("type: tag, tag: attack.execution", true)
	one("type: rule_attribute, attribute: level, value: medium, op: gte", true)
	one("type: rule_attribute, attribute: level, value: critical, op: gte", false)
	one("type: rule_attribute, attribute: status, value: stable, op: lt", true)
	one("type: rule_attribute, attribute: title, value: T", true)
	one("type: rule_attribute, attribute: title, value: T, op: ne", false)
	one("type: rule_attribute, attribute: tags, value: attack.execution, op: in", true)
	one("type: rule_attribute, attribute: no_such, value: T", false)
	one("type: processing_state, key: none, val: 1", false)
	const yes, no = "{type: is_sigma_rule}", "{type: is_sigma_correlation_rule}"
	f("rule_conditions: ["+yes+", "+no+"]", false)
	f("rule_cond_op: or, rule_conditions: ["+yes+", "+no+"]", true)
	f("rule_cond_not: true, rule_conditions: ["+yes+", "+no+"]", true)
	f("rule_cond_op: or, rule_cond_not: true, rule_conditions: ["+yes+", "+no+"]", false)
	f("rule_conditions: {y: "+yes+", n: "+no+"}, rule_cond_expr: 'not n and (y or n)'", true)
	f("rule_conditions: {y: "+yes+", n: "+no+"}, rule_cond_expr: 'n or not y'", false)
}

func TestItemConditions(t *testing.T) {
	t.Parallel()
	f := func(condition, detection string, want bool) {
		t.Helper()
		r := rule(t, `{s: {`+detection+`, Z: z}, condition: s}`)
		out, err := parsePipeline(t, "- {type: drop_detection_item, field_name_conditions: [{type: exclude_fields, fields: [Z]}], detection_item_conditions: [{"+condition+"}]}").Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(out) == "Z=z"; got != want {
			t.Errorf("%s of %s: %v", condition, detection, got)
		}
	}
	f("type: match_string, cond: any, pattern: a.c", "A: [abc, x]", true)
	f("type: match_string, cond: all, pattern: a.c", "A: [abc, x]", false)
	f("type: match_string, cond: any, pattern: b", "A: abc", false) // anchored at the start, as Python's match
	f("type: match_string, cond: any, pattern: a, negate: true", "A: abc", false)
	f("type: match_value, cond: any, value: 5", "A: 5", true)
	f("type: match_value, cond: any, value: abc", "A: abc", true)
	f("type: match_value, cond: any, value: abc", "A|re: abc", false)
	f("type: contains_wildcard, cond: any", `A: 'a*'`, true)
	f("type: contains_wildcard, cond: any", `A: 'a\*'`, false)
	f("type: is_null, cond: all", "A: null", true)
	f("type: processing_state, key: k, val: v", "A: x", false)
}

// Fields beside the items: those of the rule, of its grouping, and those that
// a correlation asks for.
func TestNames(t *testing.T) {
	t.Parallel()
	p := parsePipeline(t, `
- {type: field_name_prefix, prefix: winlog.event_data., keep: true, rule_conditions: [{type: logsource, product: windows}]}
- {type: field_name_mapping, mapping: {Image: process.executable}}
- type: any_of
  field_name_conditions: [{type: include_fields, fields: [User]}]
  alternatives:
  - - {type: split_field, into: [user.domain, user.name]}
`)
	r := parseRule(t, "title: T\nlogsource: {product: windows}\nfields: [Image, x]\nicewatch: {group_by: [User]}\ndetection: {s: {a: b}, condition: s}\n")
	out, err := p.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"winlog.event_data.Image", "process.executable", "winlog.event_data.x", "x"}; !reflect.DeepEqual(out.Fields, want) {
		t.Errorf("fields %q", out.Fields)
	}
	if want := []string{"winlog.event_data.User", "User", "user.name"}; !reflect.DeepEqual(out.Custom.GroupBy, want) {
		t.Errorf("group_by %q", out.Custom.GroupBy)
	}
	got, err := Chain{p}.Names(r, []string{"User", "Image"})
	if want := [][]string{{"winlog.event_data.User", "User", "user.name"}, {"winlog.event_data.Image", "process.executable"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("names %q, %v", got, err)
	}
	other := parseRule(t, "title: T\nlogsource: {product: linux}\ndetection: {s: {a: b}, condition: s}\n")
	if got, err := (Chain{}).Names(other, []string{"User"}); err != nil || !reflect.DeepEqual(got, [][]string{{"User"}}) {
		t.Errorf("no pipeline: %q, %v", got, err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := func(transformation, want string) {
		t.Helper()
		_, err := parsePipeline(t, transformation).Apply(rule(t, `{s: {A: x}, condition: s}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", transformation, err, want)
		}
	}
	f("- {type: rule_failure, message: no such events}", `pipeline "test": transformation of line 6 (rule_failure): no such events`)
	f("- {type: detection_item_failure, message: cannot, field_name_conditions: [{type: include_fields, fields: [A]}]}", `field "A" of line 8: cannot`)
	f("- {type: strict_field_mapping_failure}", `["A"]`)
	f("- {type: drop_detection_item}", "dropped all")
	if _, err := parsePipeline(t, "- {type: value_placeholders}").Apply(rule(t, `{s: {A|expand: '%nobody%'}, condition: s}`)); err == nil || !strings.Contains(err.Error(), "no values for the placeholder %nobody% in its vars") {
		t.Errorf("a placeholder without values: %v", err)
	}
	f("- {type: convert_type, target_type: num}", `"x" of line 8 is no number`)
	if _, err := parsePipeline(t, "- {type: field_name_mapping, mapping: {A: a}}\n- {type: strict_field_mapping_failure}").Apply(rule(t, `{s: {A: x}, condition: s}`)); err != nil {
		t.Errorf("all mapped: %v", err)
	}
}

// Pipelines run by priority and share ids and state.
func TestOrder(t *testing.T) {
	t.Parallel()
	first, err1 := Parse([]byte("{name: one, priority: 5, transformations: [{id: a, type: field_name_suffix, suffix: '1'}]}"))
	second, err2 := Parse([]byte("{name: two, priority: 9, transformations: [{type: field_name_suffix, suffix: '2', rule_conditions: [{type: processing_item_applied, processing_item_id: a}]}]}"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	out, err := Order([]*Pipeline{second, first}).Apply(rule(t, `{s: {A: x}, condition: s}`))
	if err != nil || show(out) != "A12=x" {
		t.Errorf("%v, %v", show(out), err)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %q", text, err, want)
		}
	}
	one := func(transformation, want string) { t.Helper(); f("transformations:\n- {"+transformation+"}", want) }
	f("", "line 1: the file holds no pipeline")
	f("a: [", "not valid YAML")
	f("[]", "line 1: the pipeline has to be a map")
	f("name: x", `the pipeline needs "transformations"`)
	f("name: x\nname: y\ntransformations: []", `line 2: "name" stands twice in the pipeline`)
	f("name: x\nfinalizers: [{type: json}]\ntransformations: []", "line 2: finalizers change the text of queries")
	f("transformations: []\n---\ntransformations: []", "one document")
	f("transformations: []\ncolour: red", `line 2: the pipeline has no parameter "colour"`)
	f("priority: high\ntransformations: []", `"priority" of the pipeline is a whole number, not "high"`)
	one("id: x", "line 2: a transformation has no type")
	one("type: no_such", `line 2: the transformation type "no_such" is unknown`)
	one("type: http_placeholders", `line 2: the transformation type "http_placeholders" is not supported: pipelines read nothing from the network`)
	one("type: field_name_mapping", `the transformation field_name_mapping needs "mapping"`)
	one("type: field_name_mapping, mapping: {A: []}", `"A" of "mapping" of the transformation field_name_mapping needs at least one value`)
	one("type: field_name_mapping, mapping: {A: b}, keeps: true", `has no parameter "keeps"`)
	one("type: field_name_prefix, prefix: x, keep: 1", `"keep" of the transformation field_name_prefix is true or false`)
	one("type: replace_string, regex: '(?=a)', replacement: b", "no regular expression of RE2's syntax")
	one("type: case, method: title", "is one of lower, upper, snake_case")
	one("type: set_value, value: x, force_type: num", `"x" is no number`)
	one("type: add_condition, conditions: {A|nope: b}", `unknown modifier "nope"`)
	one("type: split_field, into: [a]", "two fields in into, not 1")
	one("type: any_of, alternatives: [[{type: rule_failure, message: x}]]", "rule_failure changes the rule as a whole")
	one("type: drop_detection_item, rule_conditions: [{type: nope}]", `the rule condition type "nope" is unknown; known are contains_detection_item`)
	one("type: drop_detection_item, rule_conditions: [{type: logsource}]", "needs category, product or service")
	one("type: drop_detection_item, rule_conditions: {a: {type: is_sigma_rule}}, rule_cond_expr: a and b", `names "b", which is not among the conditions`)
	one("type: drop_detection_item, rule_conditions: {a: {type: is_sigma_rule}, b: {type: is_sigma_rule}}, rule_cond_expr: a", `does not use the condition "b"`)
	one("type: drop_detection_item, rule_conditions: {a: {type: is_sigma_rule}}, rule_cond_expr: (a", "closing parenthesis is missing")
	one("type: drop_detection_item, rule_cond_op: xor", "rule_cond_op is and or or, not \"xor\"")
	one("type: drop_detection_item, rule_conditions: [{type: rule_attribute, attribute: author, value: x}]", `the rule attribute "author" cannot be asked for`)
	one("type: drop_detection_item, detection_item_conditions: [{type: match_string, cond: most, pattern: x}]", "is one of any, all")
}

func TestSnake(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"CommandLine": "command_line", "DNSQuery": "dns_query", "a": "a", "file.Path": "file.path", "already_snake": "already_snake", "SHA256": "sha256"} {
		if got := snake(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: x\ntransformations:\n- {type: field_name_mapping, mapping: {A: [b, c]}, keep: true}\n- {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [b]}]}")
	f.Add("transformations: [{type: any_of, alternatives: [[{type: split_field, into: [a, b]}]]}, {type: hashes_fields, valid_hash_algos: [MD5]}]")
	f.Add("transformations: [{type: add_condition, conditions: {a: $product}, template: true, rule_conditions: {x: {type: logsource, product: windows}}, rule_cond_expr: not x}]")
	f.Add("transformations: [{type: replace_string, regex: 'a*', replacement: '\\1*'}, {type: nest, items: [{type: set_value, value: null}]}]")
	rules, _ := sigma.Parse([]byte("title: T\nlogsource: {product: windows}\ndetection: {s: {Hashes|contains|all: ['MD5=1*', 2], User|neq: ['A\\B', null], A|fieldref: B}, k: [x, {A: '*\\?'}], condition: s or not k}"), nil)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		for _, r := range rules {
			if out, err := p.Apply(r); err == nil {
				show(out)
			}
		}
	})
}
