//! What hostile scripts try. Each pair says what must fail and what must work beside it.

use std::path::Path;

use crate::harness::{Attempt, eventually, succeeds};

/// Runs commands one by one and returns, for each, whether it succeeded, with its words.
fn try_each(attempt: Attempt, commands: &[&str]) -> Vec<(bool, String)> {
    let mut script = "set +e\n".to_owned();
    for command in commands {
        script.push_str(&format!("( {command} ) 2>&1; echo \"<<$?>>\"\n"));
    }
    let (_, output) = attempt.with(|spec| spec.script = script).run();
    let mut results = Vec::new();
    let mut text = String::new();
    for line in output.lines() {
        match line
            .rsplit_once("<<")
            .and_then(|(before, code)| Some((before, code.strip_suffix(">>")?)))
        {
            Some((before, code)) => {
                text.push_str(before);
                results.push((code == "0", std::mem::take(&mut text)));
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert_eq!(results.len(), commands.len(), "{output}");
    results
}

fn all_fail(commands: &[&str]) {
    for (command, (ok, text)) in commands.iter().zip(try_each(Attempt::new(""), commands)) {
        assert!(!ok, "{command} succeeded: {text}");
    }
}

fn all_work(commands: &[&str]) {
    for (command, (ok, text)) in commands.iter().zip(try_each(Attempt::new(""), commands)) {
        assert!(ok, "{command} failed: {text}");
    }
}

#[test]
fn files_of_the_host_are_not_there() {
    all_fail(&[
        "ls /root",
        "ls /var",
        "ls /srv",
        "ls /sys/kernel",
        "ls /sys/fs/cgroup",
        "cat /etc/shadow",
        "ls /run/docker.sock",
        "ls /home | grep -v ci",
        "ls /boot",
    ]);
    all_work(&[
        "ls /usr/bin",
        "cat /etc/passwd",
        "ls /tmp",
        "ls ~",
        "test -w ~",
        "test -w /tmp",
        "grep -q ci /etc/group",
    ]);
}

#[test]
fn an_attempts_directories_are_not_visible_to_another() {
    let other = Attempt::new("true");
    let dir = other.workspace();
    std::fs::write(dir.join("secret"), "x").unwrap();
    let path = dir.display();
    let commands = [
        format!("ls {path}"),
        format!("cat {path}/secret"),
        format!("ls {}", other.dir.path().display()),
    ];
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    all_fail(&commands);
}

#[test]
fn init_gives_nothing_away_and_the_host_has_no_processes() {
    all_fail(&[
        "cat /proc/1/environ",
        "cat /proc/1/maps",
        "ls /proc/1/fd",
        "ls /proc/1/root/",
        "readlink /proc/1/exe",
    ]);
    let output = succeeds("ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm");
    let count: u32 = output.lines().next().unwrap().parse().unwrap();
    assert!(count <= 5, "{output}");
}

#[test]
fn a_script_kills_nobody_but_itself() {
    let output = succeeds("set +e; kill -9 1; kill -STOP 1; kill -TERM 1; sleep 0.1; echo alive");
    assert!(output.ends_with("alive\n"), "{output}");
    let mut attempt = Attempt::new("trap : TERM; sleep 60 & kill -TERM -1; wait $! || echo here").start();
    attempt.wait();
    assert_eq!(attempt.output(), "here\n");
}

#[test]
fn mounts_roots_and_namespaces_are_out_of_reach() {
    all_fail(&[
        "mount -t tmpfs x /mnt",
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /usr",
        "umount -l /proc/sys",
        "unshare -Urm id",
        "unshare -n true",
        "nsenter -t 1 -a id",
        "chroot / true",
        "setpriv --reuid 0 true",
    ]);
}

#[test]
fn the_system_is_read_only_and_the_workspace_is_not() {
    all_fail(&[
        "touch /usr/x",
        "touch /etc/x",
        "touch /x",
        "touch /run/x",
        "touch /run/secrets/x",
        "rm /run/script",
        "echo x > /run/script",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo x > /proc/sys/vm/drop_caches",
        "echo b > /proc/sysrq-trigger",
        "echo x > /proc/self/uid_map",
        "ln -f /bin/sh /workspace/hard",
    ]);
    all_work(&[
        "touch x",
        "mkdir -p d/e",
        "ln -s / r",
        "mkfifo p",
        "echo o=1 >> $CI_OUTPUT",
        "cp /bin/true t",
        "./t",
    ]);
}

#[test]
fn devices_are_the_harmless_ones() {
    all_fail(&[
        "mknod d b 254 0",
        "mknod d c 1 3",
        "head -c1 /dev/vda",
        "head -c1 /dev/kvm",
        "head -c1 /dev/mem",
        "head -c1 /dev/fuse",
        "head -c1 /dev/kmsg",
        "grep -q . /proc/kallsyms",
        "dmesg | grep .",
    ]);
    all_work(&[
        "head -c1 /dev/zero",
        "head -c1 /dev/urandom",
        "echo x > /dev/null",
        "test -c /dev/ptmx",
        "echo x > /dev/shm/x",
    ]);
}

#[test]
fn no_file_gets_a_set_id_bit() {
    all_fail(&[
        "cp /bin/sh s; chmod 4755 s",
        "cp /bin/sh s; chmod u+s s",
        "cp /bin/sh s; chmod g+s s",
        "install -m 4755 /bin/sh s",
    ]);
    all_work(&[
        "cp /bin/sh s; chmod 755 s",
        "install -m 644 /bin/sh s",
        "touch f; chmod 600 f",
    ]);
    all_work(&["! find . -perm /6000 | grep ."]);
}

#[test]
fn the_machine_is_not_for_a_script_to_change() {
    all_fail(&[
        "hostname evil",
        "date -s 2000-01-01",
        "su -c true",
        "swapon /dev/zero",
        "reboot -f",
        "rmmod x",
        "chrt -f 1 true",
    ]);
    all_work(&["test $(hostname) = job", "test $(id -u) = 1000", "test $(whoami) = ci"]);
}

#[test]
fn a_script_starts_with_nothing_it_was_not_given() {
    let output = succeeds(
        "ls /proc/self/fd | wc -l; env | cut -d= -f1 | sort | tr '\\n' ' '; ipcs -m | grep -c 0x || true; grep -c ^Cap.*0000000000000000 /proc/self/status; grep NoNewPrivs /proc/self/status; grep ^Seccomp: /proc/self/status",
    );
    // ls has one more for the directory it reads.
    assert!(output.starts_with("4\n"), "{output}");
    let expected =
        "CI_OUTPUT CI_WORKSPACE HOME LOGNAME PATH PWD SHELL SHLVL TMPDIR USER _ 0\n5\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    assert_eq!(&output[2..], expected);
}

#[test]
fn removing_everything_removes_what_is_the_scripts_own() {
    let mut attempt = Attempt::new("touch a; rm -rf --no-preserve-root / 2>/dev/null; ls /usr/bin | wc -l").start();
    std::fs::write(attempt.workspace().join("mine"), "").unwrap();
    attempt.wait();
    eventually("an empty workspace", || {
        std::fs::read_dir(attempt.workspace()).unwrap().count() == 0
    });
    assert!(Path::new("/usr/bin/env").exists());
}
