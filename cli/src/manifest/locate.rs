//! From a field's path, as the server names it, to its place in the manifest.

use super::tree::{Content, Node, Place};

/// Where a field stands, or would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The key that names the deepest field found; none at the top and in lists.
    key: Option<Place>,
    value: Place,
    /// The whole path is there; otherwise this is the deepest part of it that is.
    whole: bool,
    /// The value is a scalar: it can be pointed at.
    scalar: bool,
}

impl Found {
    /// What to point at: the value where it is wrong, the key where something below it is missing or it is large.
    pub(crate) fn place(self) -> Place {
        match self.key {
            Some(key) if !self.whole || !self.scalar => key,
            _ => self.value,
        }
    }

    /// The key, for mistakes that are about the field's name.
    pub(crate) fn key(self) -> Place {
        self.key.unwrap_or(self.value)
    }
}

/// Finds `spec.jobs.build.needs[0]`, `metadata.labels[a/b]` and the like. Names may hold dots, so at each step the
/// longest key that fits is taken.
pub(crate) fn locate(tree: &Node, path: &str) -> Found {
    let (mut node, mut key, mut rest) = (tree, None, path);
    loop {
        if rest.is_empty() {
            let scalar = !matches!(node.value, Content::List(_) | Content::Map(_) | Content::Null);
            return Found {
                key,
                value: node.at,
                whole: true,
                scalar,
            };
        }
        match step(node, rest) {
            Some((next, place, behind)) => {
                (node, rest) = (next, behind);
                key = place;
            }
            None => {
                return Found {
                    key,
                    value: node.at,
                    whole: false,
                    scalar: false,
                };
            }
        }
    }
}

/// The JSON pointer of a field, as far as it is there, and the rest of the path.
pub(crate) fn pointer<'p>(tree: &Node, path: &'p str) -> (String, &'p str) {
    let (mut node, mut rest, mut pointer) = (tree, path, String::new());
    while !rest.is_empty() {
        let Some((next, _, behind)) = step(node, rest) else {
            break;
        };
        match &node.value {
            Content::Map(entries) => {
                let key = entries.iter().find(|entry| std::ptr::eq(&raw const entry.node, next));
                let key = key.map(|entry| entry.key.replace('~', "~0").replace('/', "~1"));
                pointer.push_str(&format!("/{}", key.unwrap_or_default()));
            }
            _ => {
                let index = rest.trim_start_matches('[').split(']').next().unwrap_or_default();
                pointer.push_str(&format!("/{index}"));
            }
        }
        (node, rest) = (next, behind);
    }
    (pointer, rest)
}

/// The child that the beginning of the path names, its key's place, and the rest of the path.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, Option<Place>, &'p str)> {
    match &node.value {
        Content::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((item, None, rest))
        }
        Content::Map(entries) => {
            let fits = |key: &str| behind(path, key);
            let found = entries.iter().filter_map(|entry| Some((entry, fits(&entry.key)?)));
            let (entry, rest) = found.max_by_key(|(entry, _)| entry.key.len())?;
            Some((&entry.node, Some(entry.at), rest))
        }
        _ => None,
    }
}

/// What of a path is behind a key: written `.key`, `key`, `[key]` or `["key"]`.
fn behind<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if let Some(inner) = path.strip_prefix('[') {
        let inner = inner.strip_prefix('"').unwrap_or(inner);
        let rest = inner.strip_prefix(key)?;
        return rest.strip_prefix("\"]").or_else(|| rest.strip_prefix(']'));
    }
    let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}
