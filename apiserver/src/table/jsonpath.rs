//! The part of JSONPath that printer columns and selectable fields use, in `kubectl`'s dialect: `.a.b`, `['a.b']`,
//! `.a\.b`, `[0]`, `[*]` and `[?(@.type=="Ready")]`.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    Every,
    Where {
        path: Vec<String>,
        equals: bool,
        value: Value,
    },
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a JSONPath at {rest:?}")]
pub struct JsonPathError {
    /// What could not be read.
    rest: String,
}

impl JsonPath {
    /// Parses a path; it may stand in braces and begin with `$`.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let text = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = step(rest).ok_or_else(|| JsonPathError {
                rest: rest.chars().take(60).collect(),
            })?;
            steps.push(step);
            rest = behind;
        }
        Ok(Self { steps })
    }

    /// The first value the path leads to. An empty path leads nowhere.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        if self.steps.is_empty() {
            None
        } else {
            first(&self.steps, value)
        }
    }
}

fn first<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => first(rest, value.get(name)?),
        Step::Index(index) => {
            let list = value.as_array()?;
            let len = i64::try_from(list.len()).ok()?;
            let at = if *index < 0 { len + index } else { *index };
            first(rest, list.get(usize::try_from(at).ok()?)?)
        }
        Step::Every => match value {
            Value::Array(list) => list.iter().find_map(|item| first(rest, item)),
            Value::Object(map) => map.values().find_map(|item| first(rest, item)),
            _ => None,
        },
        Step::Where {
            path,
            equals,
            value: want,
        } => {
            let holds = |item: &&Value| {
                let found = path.iter().try_fold(*item, |value, name| value.get(name));
                found.is_some_and(|found| (found == want) == *equals)
            };
            value
                .as_array()?
                .iter()
                .filter(holds)
                .find_map(|item| first(rest, item))
        }
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        if rest.starts_with('[') {
            return step(rest);
        }
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((Step::Every, rest));
        }
        let (name, rest) = field(rest);
        return (!name.is_empty()).then_some((Step::Field(name), rest));
    }
    let rest = text.strip_prefix('[')?;
    if let Some(filter) = rest.strip_prefix("?(") {
        let end = filter.find(")]")?;
        return Some((condition(&filter[..end])?, &filter[end + 2..]));
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let end = rest[1..].find(quote)? + 1;
        return Some((Step::Field(rest[1..end].to_owned()), rest[end + 1..].strip_prefix(']')?));
    }
    let end = rest.find(']')?;
    let inner = rest[..end].trim();
    let step = if inner == "*" {
        Step::Every
    } else {
        Step::Index(inner.parse().ok()?)
    };
    Some((step, &rest[end + 1..]))
}

/// A field's name up to the next dot or bracket; a backslash takes either literally.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            plain => name.push(plain),
        }
    }
    (name, "")
}

fn condition(text: &str) -> Option<Step> {
    let (left, equals, right) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((left, right)), _) => (left, true, right),
        (None, Some((left, right))) => (left, false, right),
        (None, None) => return None,
    };
    let mut rest = left.trim().strip_prefix('@')?;
    let mut path = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = field(rest.strip_prefix('.')?);
        path.push(name);
        rest = behind;
    }
    let right = right.trim();
    let quoted = right.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let value = quoted.map_or_else(
        || serde_json::from_str(right).ok(),
        |text| Some(Value::String(text.to_owned())),
    )?;
    Some(Step::Where { path, equals, value })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_the_first_value() {
        let object = json!({"a": {"b.c": 1, "list": [{"t": "x", "v": 1}, {"t": "y", "v": 2, "n": {"m": true}}]}});
        for (path, want) in [
            (r".a.b\.c", Some(json!(1))),
            (".a['b.c']", Some(json!(1))),
            ("{.a.list[1].v}", Some(json!(2))),
            ("$.a.list[-1].t", Some(json!("y"))),
            (".a.list[*].n.m", Some(json!(true))),
            (r#".a.list[?(@.t=="y")].v"#, Some(json!(2))),
            (".a.list[?(@.v!=1)].t", Some(json!("y"))),
            (".a.list[?(@.t=='z')].v", None),
            (".x.y", None),
            ("", None),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().first(&object), want.as_ref(), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["a", ".", ".a[", ".a[x]", ".a[?(x)]", ".a[?(@.b==c)]"] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
