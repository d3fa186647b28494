use super::*;

fn stack(text: &str) -> Result<Stack, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("project")).unwrap();
    std::fs::write(folder.path().join("project/Cargo.toml"), "").unwrap();
    std::fs::write(
        folder.path().join("flow.yml"),
        "environment:\n  gateway: g:1\n  write_debug: true\n  literal: ${HOME}\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("stack.yml"), text).unwrap();
    Stack::read(folder.path()).map_err(|error| error.describe())
}

#[test]
fn the_kind_and_the_layers_of_the_environment_are_read() {
    let stack = stack(
        "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n  flow:\n    lang: faasflow\n    handler: ./project\n    \
         environment_file: [flow.yml]\n    environment:\n      gateway: g:2\n      port: 8080\n    secrets: [a]\n  \
         cat:\n    fprocess: sh -c 'cat; true'\n  there:\n    annotations:\n      faasflow.url: localhost:99\n  \
         server:\n    fprocess: ./server --fast\n    environment: { mode: http }\n",
    )
    .unwrap();
    let flow = &stack.functions["flow"];
    assert!(flow.is_flow() && matches!(flow.kind, Kind::Cargo(_)));
    assert_eq!(flow.environment["gateway"], "g:1", "a file overrides the stack file, as with faas-cli");
    assert_eq!(flow.environment["write_debug"], "true");
    assert_eq!(flow.environment["port"], "8080");
    assert_eq!(flow.origins["write_debug"], "flow.yml");
    assert_eq!(flow.origins["gateway"], "flow.yml");
    assert_eq!(flow.origins["port"], "stack.yml");
    assert_eq!(flow.environment["literal"], "${HOME}", "an environment file is taken as it is");
    let command = ["sh", "-c", "cat; true"].map(str::to_owned).to_vec();
    assert_eq!(stack.functions["cat"].kind, Kind::Command(command));
    let program = ["./server", "--fast"].map(str::to_owned).to_vec();
    assert_eq!(stack.functions["server"].kind, Kind::Program(program));
    assert_eq!(stack.functions["there"].kind, Kind::Url("http://localhost:99/".parse().unwrap()));
}

#[test]
fn misspelt_keys_are_pointed_out() {
    let read = stack("functions:\n  f:\n    fprocess: cat\n    enviroment: { a: b }\n    x-mine: 1\n").unwrap();
    assert_eq!(read.hints, ["function `f`: the key `enviroment` is not known; did you mean `environment`?"]);
    let fault = stack("functions:\n  f:\n    handlr: ./project\n").unwrap_err();
    assert!(fault.starts_with("function `f`: it does not say how it runs"), "{fault}");
    assert!(fault.ends_with("\nfunction `f`: the key `handlr` is not known; did you mean `handler`?"), "{fault}");
    let fault = stack("function:\n  f:\n    fprocess: cat\n").unwrap_err();
    assert!(fault.ends_with("\nthe key `function` is not known; did you mean `functions`?"), "{fault}");
}

#[test]
fn faults_name_function_and_key() {
    for (text, expected) in [
        ("functions:\n  f: {}\n", "function `f`: it does not say how it runs"),
        ("functions:\n  f:\n    handler: ./absent\n", "function `f`: `handler` is `./absent`"),
        ("functions:\n  f:\n    fprocess: \"sh -c 'x\"\n", "a quote that is not closed"),
        (
            "functions:\n  f:\n    fprocess: x\n    environment: { mode: static }\n",
            "its `mode` is `static`; write `http`",
        ),
        ("functions: [1]\n", "`functions` must be a mapping"),
        ("provider: {}\n", "`functions:` is missing"),
        ("functions:\n  f:\n    fprocess: cat\n    namespace: dev\n", "the namespace `dev` does not exist"),
        ("functions:\n  'a b':\n    fprocess: cat\n", "its name is not valid; use at most 63 letters"),
    ] {
        let fault = stack(text).unwrap_err();
        assert!(fault.contains(expected), "{text}: {fault}");
    }
}

/// A stack file of one command, with these lines for it.
fn command(lines: &str) -> Result<Stack, String> {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    stack(&format!("functions:\n  f:\n    fprocess: cat\n{indented}"))
}

#[test]
fn y1_all_maps_of_a_function_have_their_texts_as_written() {
    let text = "{ a: 1.10, b: 0644, c: yes, d: ~, e: 2020-01-02, 1_000: 1e3 }";
    let read = command(&format!("environment: {text}\nlabels: {text}\nannotations: {text}")).unwrap();
    let spec = &read.functions["f"];
    for map in [&spec.environment, &spec.labels, &spec.annotations] {
        let map: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(map, ["1_000=1e3", "a=1.10", "b=0644", "c=yes", "d=", "e=2020-01-02"]);
    }
    let read =
        stack("version: 1.0\nfunctions:\n  007:\n    fprocess: 1.10\n    image: 1.0\n    secrets: [0644]\n").unwrap();
    let spec = &read.functions["007"];
    assert_eq!((spec.image.as_deref(), spec.secrets.as_slice()), (Some("1.0"), &["0644".to_owned()][..]));
    assert_eq!(spec.kind, Kind::Command(vec!["1.10".to_owned()]));
}

#[test]
fn y1_an_environment_file_has_its_texts_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("stack.yml", "functions:\n  f:\n    fprocess: cat\n    environment_file: [a.yml, b.yml, c.yml]\n");
    write("a.yml", "environment:\n  build: 012345678901\n  rate: 12345e7\n");
    write("b.yml", "environment:\n  rate: 1.10\n  home: ${HOME}\n");
    write("c.yml", "rate: 2\n");
    let read = Stack::read(folder.path()).unwrap();
    let environment = &read.functions["f"].environment;
    assert_eq!(
        [&*environment["build"], &*environment["rate"], &*environment["home"]],
        ["012345678901", "1.10", "${HOME}"]
    );
    let hint = "c.yml: it sets nothing, because it has no `environment:`; variables such as `rate` belong below that, indented";
    assert_eq!(read.hints, [hint]);
    write("c.yml", "environment:\n  a: 1\n  a: 2\n");
    let fault = Stack::read(folder.path()).unwrap_err();
    let fault = format!("{}: {}", fault.path().display(), fault.describe());
    assert!(
        fault.ends_with("/c.yml: line 3, column 3: `environment` has `a` twice, first in line 2; remove one of them"),
        "{fault}"
    );
}

#[test]
fn y2_a_form_that_is_unknown_has_its_place() {
    let fault = stack("functions:\n  f:\n    fprocess: cat\n    image: a:${TAG-1}\n").unwrap_err();
    assert!(fault.starts_with("line 4, column 14: `${TAG-1}` is not a form that `faas-cli` knows"), "{fault}");
    let read = command("image: 'a:${NOBODY_SETS_THIS:=x}-$${HOME}'").unwrap();
    assert_eq!(read.functions["f"].image.as_deref(), Some("a:x-${HOME}"));
}

#[test]
fn y3_each_key_says_what_it_must_be() {
    for (lines, expected) in [
        ("lang: [a]", "line 4, column 11: function `f`: `lang` must be a single value, but is a list"),
        ("handler: {a: b}", "function `f`: `handler` must be a single value, but is a mapping"),
        ("image: [a]", "function `f`: `image` must be a single value"),
        ("namespace: [a]", "function `f`: `namespace` must be a single value"),
        ("environment: [a]", "function `f`: `environment` must be a mapping (`key: value`), but is a list"),
        (
            "environment: a=b",
            "function `f`: `environment` must be a mapping (`key: value`), but is the single value `a=b`",
        ),
        ("environment:\n  a:b", "the single value `a:b`; add the missing space after the colon: `a: b`"),
        (
            "environment:\n  a: [1]",
            "line 5, column 10: function `f`: `environment`: `a` must be a single value, but is a list",
        ),
        (
            "environment_file: flow.yml",
            "function `f`: `environment_file` must be a list, but is the single value `flow.yml`; write `[flow.yml]`",
        ),
        ("secrets: a", "function `f`: `secrets` must be a list, but is the single value `a`; write `[a]`"),
        ("secrets: {a: b}", "function `f`: `secrets` must be a list, but is a mapping"),
        ("secrets: [a, ~]", "an entry of function `f`: `secrets` is empty"),
        ("labels: a", "function `f`: `labels` must be a mapping"),
        ("annotations: [a]", "function `f`: `annotations` must be a mapping"),
        ("build_args: [a]", "function `f`: `build_args` must be a mapping"),
        ("build_options: dev", "function `f`: `build_options` must be a list"),
        ("constraints: a", "function `f`: `constraints` must be a list"),
        ("limits: 5", "function `f`: `limits` must be a mapping"),
        ("limits: {memory: [1]}", "function `f`: `limits`: `memory` must be a single value"),
        ("requests: [a]", "function `f`: `requests` must be a mapping"),
        ("skip_build: maybe", "function `f`: `skip_build` is `maybe`; write `true` or `false`"),
        (
            "skip_build: \"true\"",
            "function `f`: `skip_build` is the text \"true\"; write `true` or `false` without quotes",
        ),
        ("readonly_root_filesystem: [a]", "function `f`: `readonly_root_filesystem` must be `true` or `false`"),
        ("fprocess: tac", "line 4, column 5: function `f` has `fprocess` twice, first in line 3"),
    ] {
        let fault = command(lines).unwrap_err();
        assert!(fault.contains(expected), "{lines}\n{fault}");
    }
    for (text, expected) in [
        ("", "line 1, column 1: the file is empty"),
        ("# nothing\n", "line 1, column 1: the file is empty"),
        ("[a]", "a stack file must be a mapping"),
        ("version: [1]", "`version` must be a single value"),
        ("provider: openfaas", "`provider` must be a mapping"),
        ("functions: a", "`functions` must be a mapping"),
        ("functions:\n", "`functions` is empty"),
        (
            "functions:\n  f: cat\n",
            "line 2, column 6: function `f` must be a mapping (`key: value`), but is the single value `cat`",
        ),
        (
            "functions:\n  f:\n    fprocess: cat\n  f:\n    fprocess: tac\n",
            "line 4, column 3: `functions` has `f` twice, first in line 2",
        ),
        (
            "functions:\n  f:\n    fprocess: cat\n---\nfunctions: {}\n",
            "line 5, column 1: a second document begins here",
        ),
        (
            "functions:\n  f:\n    fprocess: cat\n   image: x\n",
            "line 4, column 4: the indentation does not fit the lines above",
        ),
        ("functions:\n\tf:\n", "line 2, column 2: the line is indented with a tab"),
    ] {
        let fault = stack(text).unwrap_err();
        assert!(fault.starts_with(expected) || fault.contains(&format!(": {expected}")), "{text}\n{fault}");
    }
}

#[test]
fn y3_files_of_another_encoding_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.yml");
    let text = "functions:\n  f:\n    fprocess: cat\n";
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Stack::read(&path).map_err(|error| error.describe())
    };
    assert!(read(format!("\u{feff}{text}").as_bytes()).unwrap().functions.contains_key("f"));
    assert!(read(text.replace('\n', "\r\n").as_bytes()).unwrap().functions.contains_key("f"));
    let fault = read(b"functions:\n  f:\n    fprocess: caf\xe9\n").unwrap_err();
    assert_eq!(fault, "line 3, column 18: the byte 0xe9 is not UTF-8; save the file as UTF-8");
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(read(&wide).unwrap_err(), "it is saved as UTF-16; save it as UTF-8");
    assert!(read(&wide[2..]).unwrap_err().contains("there is a NUL byte in the file"));
}

#[test]
fn y4_values_that_cannot_be_used_are_refused_with_the_remedy() {
    for (lines, expected) in [
        (
            "environment: { exec_timeout: abc }",
            "`environment`: `exec_timeout` (stack.yml) is `abc`; write a duration such as `30s`",
        ),
        ("environment: { exec_timeout: -5s }", "`exec_timeout` (stack.yml) is `-5s`; write a duration"),
        ("environment: { exec_timeout: 5 minutes }", "`exec_timeout` (stack.yml) is `5 minutes`; write a duration"),
        ("environment: { read_timeout: 1d }", "`read_timeout` (stack.yml) is `1d`; write a duration"),
        ("environment: { write_timeout: 10sec }", "`write_timeout` (stack.yml) is `10sec`; write a duration"),
        ("environment: { healthcheck_interval: often }", "`healthcheck_interval` (stack.yml) is `often`"),
        ("environment: { max_inflight: many }", "`max_inflight` (stack.yml) is `many`; write how many"),
        ("environment: { max_inflight: 1.5 }", "`max_inflight` (stack.yml) is `1.5`"),
        ("environment: { combine_output: yes }", "`combine_output` (stack.yml) is `yes`; write `true` or `false`"),
        ("environment: { content_type: \"a\\nb\" }", "`content_type` (stack.yml) is"),
        ("environment: { port: http }", "`port` (stack.yml) is `http`; write the number of a port"),
        ("environment: { metrics_port: 70000 }", "`metrics_port` (stack.yml) is `70000`; write the number of a port"),
        ("environment: { mode: static }", "its `mode` is `static`"),
        ("environment: { a: \"b\\0c\" }", "function `f`: `environment`: `a` contains a NUL byte; remove it"),
        ("environment: { \"a=b\": c }", "`environment`: `a=b` (stack.yml) cannot be the name of a variable"),
        ("environment: { \"\": c }", "`environment`: `` (stack.yml) cannot be the name of a variable"),
        ("labels: { a: \"\\0\" }", "function `f`: `labels`: `a` contains a NUL byte"),
        (
            "secrets: [../../etc/passwd]",
            "`secrets`: `../../etc/passwd` is not the name of a secret; use at most 253 lower-case letters",
        ),
        ("secrets: [API_KEY]", "`secrets`: `API_KEY` is not the name of a secret; use at most 253 lower-case letters"),
        ("namespace: dev", "`namespace`: the namespace `dev` does not exist"),
        ("annotations: { faasflow.url: ftp://x }", "`annotations`: `faasflow.url` is `ftp://x`"),
    ] {
        let fault = command(lines).unwrap_err();
        assert!(fault.contains("function `f`: ") && fault.contains(expected), "{lines}\n{fault}");
    }
    let long = "f".repeat(64);
    for (text, expected) in [
        (
            "provider: {name: faas}\nfunctions: {}\n",
            "line 1, column 18: `name` of `provider` is `faas`, but the only provider is `openfaas`; write",
        ),
        ("version: 2.0\nfunctions: {}\n", "line 1, column 10: `version` is `2.0`, but the only version is `1.0`"),
        ("version: 1\nfunctions: {}\n", "`version` is `1`, but the only version is `1.0`"),
        (
            "functions:\n  a.b: {fprocess: cat}\n",
            "function `a.b`: its name is not valid; use at most 63 letters, digits, `-` and `_`",
        ),
        (&format!("functions:\n  {long}: {{fprocess: cat}}\n"), "its name is not valid"),
        ("functions:\n  f: {fprocess: ''}\n", "function `f`: `fprocess` is empty"),
        ("functions:\n  f: {fprocess: \"a\\0b\"}\n", "function `f`: `fprocess` contains a NUL byte"),
        (
            "functions:\n  f:\n    environment: {fprocess: cat -n}\n",
            "function `f`: its environment has `fprocess` (`cat -n`), which only the watchdog of an image reads; write it as \
             `fprocess` of the function itself, beside `environment`",
        ),
        (
            "functions:\n  f: {lang: faasflow, handler: ., image: f}\n",
            "has no Cargo.toml; set it to the folder of the flow's cargo project, such as `./my-flow`",
        ),
        (
            "functions:\n  f:\n    handler: ./absent\n    environment: {function_process: cat}\n",
            "its environment has `function_process` (`cat`)",
        ),
    ] {
        let fault = stack(text).unwrap_err();
        assert!(fault.contains(expected), "{text}\n{fault}");
    }
    // All of them at once.
    let text = "functions:\n  a: {fprocess: cat, environment: {exec_timeout: x, max_inflight: y}}\n  b: {}\n";
    assert_eq!(stack(text).unwrap_err().lines().count(), 3);
    // These values can be used.
    command("environment: { exec_timeout: 1m30s, read_timeout: 5, max_inflight: 0, mode: '', combine_output: '' }")
        .unwrap();
    // The gateway applies this limit wherever the function runs.
    let there = "functions:\n  f:\n    annotations: {faasflow.url: 'http://h'}\n    environment: {max_inflight: abc}\n";
    assert!(stack(there).unwrap_err().contains("`max_inflight` (stack.yml) is `abc`"));
    // Another program reads this one, and may accept the value.
    stack("functions:\n  f:\n    annotations: {faasflow.url: 'http://h'}\n    environment: {exec_timeout: x}\n")
        .unwrap();
}

#[test]
fn y1_a_text_that_begins_with_an_ampersand_is_not_lost() {
    for text in ["&p@ss", "&&", "&|", "&abc:def", "&", "[&p@ss, b]", "{a: &p@ss}"] {
        let fault = command(&format!("environment:\n      A: {text}\n      B: x")).unwrap_err();
        assert!(fault.contains("quote it") || fault.contains("anchor"), "{text}: {fault}");
    }
    let read = command("environment:\n      A: &one-1_ value\n      B: *one-1_\n      C: '&p@ss'").unwrap();
    let environment = &read.functions["f"].environment;
    assert_eq!(["A", "B", "C"].map(|name| &*environment[name]), ["value", "value", "&p@ss"]);
}

#[test]
fn h12_a_url_with_a_password_is_not_repeated() {
    let fault = stack("functions:\n  f:\n    annotations: {faasflow.url: 'http://user:sEcr3t@h/'}\n").unwrap_err();
    assert!(fault.contains("contains credentials") && !fault.contains("sEcr3t"), "{fault}");
}

/// All of them had one code, and the remedy was part of the message.
#[test]
fn each_kind_of_error_has_its_own_code_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.yml");
    let codes = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let problems = Stack::read(&path).unwrap_err().problems();
        problems.iter().map(|problem| problem.code().as_str()).collect::<Vec<_>>()
    };
    assert_eq!(codes(b"functions: [1]\n"), ["FF0801"]);
    assert_eq!(codes(b"functions:\n  f:\n    fprocess: caf\xe9\n"), ["FF0804"]);
    assert_eq!(codes(b"functions: {\n"), ["FF0805"]);
    assert_eq!(codes(b"functions: ${A-1}\n"), ["FF0806"]);
    assert_eq!(codes(b"functions:\n  f: {fprocess: cat, environment: {port: x}}\n  g: {}\n"), ["FF0807", "FF0808"]);
    assert_eq!(codes(b"functions:\n  f: {fprocess: cat, environment_file: [no.yml]}\n"), ["FF0803"]);
    assert_eq!(Stack::read(&folder.path().join("absent")).unwrap_err().code().as_str(), "FF0802");
    std::fs::write(&path, "functions:\n  f:\n    handlr: x\n").unwrap();
    let problem = Stack::read(&path).unwrap_err().problems().remove(0);
    assert!(problem.what().ends_with("function `f`: it does not say how it runs"), "{problem}");
    let help = problem.remedies();
    assert!(help[0].starts_with("set `handler`") && help[1].ends_with("did you mean `handler`?"), "{problem}");
}

#[test]
fn i6_an_unreadable_environment_file_has_the_common_reason() {
    let read = |file: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let text = format!("functions:\n  f:\n    fprocess: cat\n    environment_file: [{file}]\n");
        std::fs::write(folder.path().join("stack.yml"), text).unwrap();
        faasflow_core::chain(&Stack::read(folder.path()).unwrap_err())
    };
    for (file, why) in [
        ("absent.yml", "absent.yml: it cannot be read: there is no such file"),
        ("folder", "folder: it cannot be read: it is a folder, and a file was expected"),
        ("stack.yml/x", "x: it cannot be read: a part of its path is a file, and a folder was expected"),
    ] {
        let fault = read(file);
        assert!(fault.ends_with(why), "{fault}");
    }
}

#[test]
fn the_example_about_an_unreadable_file_is_real() {
    let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
    let error = StackError::unreadable(std::path::Path::new("/srv/shop/limits.yml"), absent);
    let printed = error.problems().into_iter().map(|problem| (problem.code(), problem.to_string()));
    crate::error_examples::errors_page::compare(printed);
}
