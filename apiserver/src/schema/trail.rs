//! Where a walk stands: a chain of borrowed steps on the stack, written out only when there is something to say.

use std::fmt::Write;

use breakbulk_schemas::field::Path;

/// The way from the object to a value.
#[derive(Clone, Copy, Debug)]
pub enum Trail<'a> {
    /// The object itself.
    Root,
    /// A property that the schema names.
    Field(&'a Trail<'a>, &'a str),
    /// A key of a map.
    Key(&'a Trail<'a>, &'a str),
    /// An element of a list.
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    /// As upstream's paths are written, with map keys in brackets: `spec.labels[a.b].x[0]`. The object itself is
    /// `<nil>`, since that is what upstream prints for it.
    pub fn path(&self) -> Path {
        self.path_below(None)
    }

    /// The same below another path.
    pub fn path_below(&self, base: Option<&Path>) -> Path {
        let mut text = base.map(|base| base.as_str().to_owned()).unwrap_or_default();
        self.write(&mut text, true);
        Path::root(if text.is_empty() { "<nil>" } else { &text })
    }

    /// As upstream's schema validator writes it, with map keys as if they were properties: `spec.labels.a.b.x[0]`.
    /// The object itself is the empty text.
    pub(super) fn dotted(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, false);
        text
    }

    fn write(&self, text: &mut String, keys_in_brackets: bool) {
        match self {
            Self::Root => {}
            Self::Key(parent, name) if keys_in_brackets => {
                parent.write(text, keys_in_brackets);
                _ = write!(text, "[{name}]");
            }
            Self::Field(parent, name) | Self::Key(parent, name) => {
                parent.write(text, keys_in_brackets);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Self::Index(parent, index) => {
                parent.write(text, keys_in_brackets);
                _ = write!(text, "[{index}]");
            }
        }
    }
}
