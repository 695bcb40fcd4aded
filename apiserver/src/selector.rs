//! Label and field selectors: parsed once at the edge, matched against what the cache keeps of an object.
//!
//! The grammar is upstream's (`k8s.io/apimachinery/pkg/labels`, `…/fields`).

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Structured;

/// The longest selector, in bytes, and the most requirements in one.
const MAX_LEN: usize = 16 * 1024;

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

/// A label selector: every requirement must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

/// A field selector: every term must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// The terms, in the order written.
    pub terms: Vec<Term>,
}

/// One term of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field's path, `metadata.name`.
    pub path: String,
    /// `=` (true) or `!=`.
    pub equals: bool,
    /// The value.
    pub value: String,
}

impl LabelSelector {
    /// Parses a selector; an empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LEN {
            return Err(SelectorError("selector too long".to_owned()));
        }
        let mut parser = Parser { rest: text };
        let mut requirements = Vec::new();
        parser.blanks();
        while !parser.rest.is_empty() {
            requirements.push(parser.requirement()?);
            parser.blanks();
            if parser.rest.is_empty() {
                break;
            }
            parser.expect(',')?;
            parser.blanks();
            if parser.rest.is_empty() {
                return Err(SelectorError("found '', expected: identifier after ','".to_owned()));
            }
        }
        Ok(Self { requirements })
    }

    /// From the form in which objects carry selectors (`matchLabels`, `matchExpressions`).
    ///
    /// # Errors
    /// When an expression has no known operator, or values that do not go with it.
    pub fn from_object(selector: &Structured) -> Result<Self, SelectorError> {
        let labels = selector.match_labels.iter().flatten();
        let mut requirements: Vec<Requirement> = labels
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In(vec![value.clone()]),
            })
            .collect();
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let operator = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Operator::In(values),
                ("NotIn", false) => Operator::NotIn(values),
                ("Exists", true) => Operator::Exists,
                ("DoesNotExist", true) => Operator::Absent,
                (operator, _) => {
                    return Err(SelectorError(format!(
                        "{operator:?} is not a valid label selector operator"
                    )));
                }
            };
            let key = expression.key.clone();
            requirements.push(Requirement { key, operator });
        }
        Ok(Self { requirements })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether labels match; `label` gives the value of a key.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.operator.holds(label(&requirement.key)))
    }
}

impl Operator {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            Self::Greater(than) => number().is_some_and(|number| number > *than),
            Self::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), SelectorError> {
        self.blanks();
        let found = self.rest.chars().next();
        if found == Some(token) {
            self.rest = &self.rest[token.len_utf8()..];
            return Ok(());
        }
        let found = found.map(String::from).unwrap_or_default();
        Err(SelectorError(format!("found '{found}', expected: '{token}'")))
    }

    fn word(&mut self) -> String {
        self.blanks();
        let special = |c: char| c.is_whitespace() || matches!(c, ',' | '=' | '!' | '(' | ')' | '<' | '>');
        let end = self.rest.find(special).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        let key = self.word();
        if breakbulk_schemas::text::is_label_key(&key) {
            return Ok(key);
        }
        Err(SelectorError(format!("invalid label key {key:?}")))
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        let value = self.word();
        if breakbulk_schemas::text::is_label_value(&value) {
            return Ok(value);
        }
        Err(SelectorError(format!("invalid label value: {value:?}")))
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.eat("!") {
            return Ok(Requirement {
                key: self.key()?,
                operator: Operator::Absent,
            });
        }
        let key = self.key()?;
        self.blanks();
        let operator = if self.rest.is_empty() || self.rest.starts_with(',') {
            Operator::Exists
        } else if self.eat("==") || self.eat("=") {
            Operator::In(vec![self.value()?])
        } else if self.eat("!=") {
            Operator::NotIn(vec![self.value()?])
        } else if self.eat(">") {
            Operator::Greater(self.number()?)
        } else if self.eat("<") {
            Operator::Less(self.number()?)
        } else {
            self.set()?
        };
        Ok(Requirement { key, operator })
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        let word = self.word();
        word.parse().map_err(|_| {
            SelectorError(format!(
                "for 'Gt', 'Lt' operators, the value must be an integer: {word:?}"
            ))
        })
    }

    fn set(&mut self) -> Result<Operator, SelectorError> {
        let word = self.word();
        let negated = match word.as_str() {
            "in" => false,
            "notin" => true,
            other => {
                let expected = "in, notin, =, ==, !=, gt, lt";
                return Err(SelectorError(format!("found '{other}', expected: {expected}")));
            }
        };
        self.expect('(')?;
        let mut values = vec![self.value()?];
        self.blanks();
        while self.eat(",") {
            values.push(self.value()?);
            self.blanks();
        }
        self.expect(')')?;
        Ok(if negated {
            Operator::NotIn(values)
        } else {
            Operator::In(values)
        })
    }
}

impl FieldSelector {
    /// Parses a selector; an empty text selects everything. `\,`, `\=` and `\\` stand for themselves.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LEN {
            return Err(SelectorError("selector too long".to_owned()));
        }
        let terms = split_terms(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(Term::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if the selector says so.
    pub fn required(&self, path: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equals && term.path == path)
            .map(|term| term.value.as_str())
    }

    /// Whether fields match; `field` gives a path's value, empty where it is missing.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        self.terms
            .iter()
            .all(|term| (field(&term.path) == term.value) == term.equals)
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

impl Term {
    fn parse(text: &str) -> Result<Self, SelectorError> {
        let at = text
            .find(['=', '!'])
            .ok_or_else(|| SelectorError(format!("invalid selector: '{text}'; can't understand '{text}'")))?;
        let (path, rest) = text.split_at(at);
        let (equals, value) = match (rest.strip_prefix("!="), rest.strip_prefix("=="), rest.strip_prefix('=')) {
            (Some(value), _, _) => (false, value),
            (_, Some(value), _) | (_, _, Some(value)) => (true, value),
            _ => {
                return Err(SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{text}'"
                )));
            }
        };
        Ok(Self {
            path: path.trim().to_owned(),
            equals,
            value: unescape(value)?,
        })
    }
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                _ => {
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence in {text:?}"
                    )));
                }
            },
            '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {text:?}"
                )));
            }
            plain => out.push(plain),
        }
    }
    Ok(out)
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.path, if self.equals { "=" } else { "!=" }, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let selector = LabelSelector::parse(selector).unwrap();
        selector.matches(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, value)| *value))
    }

    #[test]
    fn every_form_of_a_requirement_is_understood() {
        let labels = [("app", "web"), ("n", "5"), ("breakbulk.dev/run", "r1"), ("empty", "")];
        for (selector, want) in [
            ("", true),
            ("app=web", true),
            ("app == web , n>4", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("other notin (a,b)", true),
            ("app", true),
            ("!app", false),
            ("!other,n<6", true),
            ("breakbulk.dev/run=r1", true),
            ("empty=", true),
            ("app in (,web)", true),
        ] {
            assert_eq!(matches(selector, &labels), want, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "=", "a=b=c", "a in", "a in (b", "a,,b", "a b", "a>x", "!", "a=b,", "-x=1", "x=@",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
        for text in ["a", "a=b=c", r"a=\x", "a!b"] {
            assert!(FieldSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn field_terms_are_compared_for_equality() {
        let selector = FieldSelector::parse("metadata.name=x,spec.nodeName!=,metadata.name==x").unwrap();
        let field = |node: &'static str| move |path: &str| if path == "metadata.name" { "x" } else { node };
        assert!(selector.matches(field("n1")));
        assert!(!selector.matches(field("")));
        assert_eq!(selector.required("metadata.name"), Some("x"));
        assert_eq!(FieldSelector::parse(r"a=x\,y").unwrap().terms[0].value, "x,y");
    }
}
