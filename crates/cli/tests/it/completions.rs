//! `faasflow completions` and `faasflow man`.

use std::process::Command;

use crate::support::{faasflow, run};

fn script(shell: &str) -> String {
    let mut command = faasflow();
    command.args(["completions", shell]);
    let output = run(command, b"");
    assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_shell_completes_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = script(shell);
        for word in ["dead-letters", "completions", "upstream-timeout", "gateway-timeout"] {
            assert!(script.contains(word), "{shell} does not complete `{word}`");
        }
    }
}

#[test]
fn bash_offers_subcommands() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faasflow.bash");
    std::fs::write(&file, script("bash")).unwrap();
    let test = "source \"$1\" && COMP_WORDS=(faasflow queue dead) COMP_CWORD=2 && _faasflow faasflow dead queue && \
                echo \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["-c", test, "bash"]).arg(&file);
    let output = run(command, b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "dead-letters\n", "{output:?}");
}

#[test]
fn each_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    // A page of an earlier version, which is not counted.
    std::fs::create_dir_all(&pages).unwrap();
    std::fs::write(pages.join("faasflow-old.1"), ".TH old 1").unwrap();
    let mut command = faasflow();
    // The default of `--gateway` comes from this variable, and must not get into a page.
    command.args(["man", "--out"]).arg(&pages).env("OPENFAAS_URL", "http://admin:hidden@example.com");
    let output = run(command, b"");
    assert!(output.status.success(), "{output:?}");
    let names: Vec<String> =
        std::fs::read_dir(&pages).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("Wrote {} man pages to {}\n", names.len() - 1, pages.display())
    );
    for (page, text) in [
        ("faasflow.1", "faasflow\\-up(1)"),
        ("faasflow-up.1", "\\-\\-upstream\\-timeout"),
        ("faasflow-queue-redrive.1", "\\-\\-rate"),
        ("faasflow-man.1", "\\-\\-out"),
    ] {
        assert!(std::fs::read_to_string(pages.join(page)).expect(page).contains(text), "{page} does not have {text}");
    }
    for name in &names {
        let text = std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(text.contains(".TH ") && !text.contains("hidden"), "{name}: {text}");
    }
}
