//! Checks the codec against upstream's golden files: `golden DIR` with `testdata/HEAD` of `k8s.io/api`, or
//! `pkg/apis/testdata/HEAD` of `k8s.io/apiextensions-apiserver`. For each pair `X.json` and `X.pb` of a kind that the
//! table has, the bytes must decode to the JSON, and the JSON must encode to the bytes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use breakbulk_protobuf::{decode, encode, knows};
use serde_json::Value;

/// What became of a pair.
enum Outcome {
    Same,
    NotServed,
    Differs(Vec<String>),
}

fn main() -> io::Result<ExitCode> {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: golden DIR");
        return Ok(ExitCode::from(2));
    };
    let (mut same, mut not_served, mut differ) = (0, 0, 0);
    let mut names = fs::read_dir(&directory)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    for json in names.iter().filter(|path| is_pair(path)) {
        match check(json)? {
            Outcome::Same => same += 1,
            Outcome::NotServed => not_served += 1,
            Outcome::Differs(how) => {
                differ += 1;
                println!("{}", json.display());
                how.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
    println!(
        "{same} of {} are the same both ways; {not_served} are of kinds not served",
        same + differ
    );
    Ok(if differ == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_pair(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json") && path.with_extension("pb").exists()
}

fn check(path: &Path) -> io::Result<Outcome> {
    let json: Value = serde_json::from_slice(&fs::read(path)?)?;
    let bytes = fs::read(path.with_extension("pb"))?;
    let named = |name: &str| json[name].as_str().unwrap_or_default();
    if !knows(named("apiVersion"), named("kind")) {
        return Ok(Outcome::NotServed);
    }
    let mut how = Vec::new();
    match decode(&bytes) {
        Ok(decoded) => {
            differences("", &decoded.object, &json, &mut how);
            how.extend(
                decoded
                    .unknown_fields
                    .iter()
                    .map(|field| format!("decoding: unknown {field}")),
            );
        }
        Err(error) => how.push(format!("decoding: {error}")),
    }
    match encode(&json) {
        Ok(encoded) if encoded == bytes => {}
        Ok(encoded) => {
            let at = encoded.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
            how.push(format!(
                "encoding: {} bytes instead of {}, other from {at} on",
                encoded.len(),
                bytes.len()
            ));
        }
        Err(error) => how.push(format!("encoding: {error}")),
    }
    Ok(if how.is_empty() {
        Outcome::Same
    } else {
        Outcome::Differs(how)
    })
}

/// Where the values differ, with paths.
fn differences(at: &str, got: &Value, wanted: &Value, out: &mut Vec<String>) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                differences(
                    &format!("{at}.{name}"),
                    got.get(name).unwrap_or(&Value::Null),
                    wanted,
                    out,
                );
            }
            for name in got.keys().filter(|name| !wanted.contains_key(*name)) {
                out.push(format!("decoding: {at}.{name} should not be there"));
            }
        }
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => {
            for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                differences(&format!("{at}[{index}]"), got, wanted, out);
            }
        }
        _ if got == wanted => {}
        _ => out.push(format!("decoding: {at} is {got} instead of {wanted}")),
    }
}
