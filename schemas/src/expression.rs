//! Expressions: CEL in `if:`, and `${{ cel }}` in the few string fields that allow it.
//!
//! Parsed and checked when a Pipeline is applied, evaluated by the run controller. An expression sees the values in
//! [`Context`] and nothing else; it cannot loop without end, read files or reach a network. Its value reaches a script
//! only as an environment variable: nothing here is ever pasted into a script.

pub mod check;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::objects::Key;
use cel::{Env, Program, Value};

use crate::Scalar;

/// The longest expression, in bytes. Longer ones are programs.
pub const MAX_LEN: usize = 2048;

/// How deep brackets may nest, and how many operators there may be: the parser and the evaluator recurse into both.
const MAX_DEPTH: usize = 32;
const MAX_OPERATORS: usize = 200;

/// Enough for the largest expression allowed, parsed by an unoptimised build: threads have less.
const STACK: usize = 64 << 20;

/// A parsed expression.
#[derive(Clone)]
pub struct Expression {
    text: String,
    program: Arc<Program>,
}

/// A text with `${{ expression }}` in it. `$${{` stands for a literal `${{`.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Expression(Expression),
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The parser's words, with the column.
    #[error("is not a CEL expression: {message} (column {column})")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Counted from 1.
        column: usize,
    },
    /// Longer than [`MAX_LEN`].
    #[error("must be at most {MAX_LEN} bytes long")]
    TooLong,
    /// Brackets too deep.
    #[error("must not nest brackets deeper than {MAX_DEPTH}")]
    TooDeep,
    /// `${{` without `}}`.
    #[error("has `${{{{` without a closing `}}}}`")]
    Unclosed,
    /// Too many operators.
    #[error("must not have more than {MAX_OPERATORS} operators")]
    TooManyOperators,
    /// Nothing between the braces.
    #[error("has nothing between `${{{{` and `}}}}`")]
    Empty,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The evaluation failed.
    #[error("cannot evaluate `{text}`: {message}")]
    Failed {
        /// The expression.
        text: String,
        /// The evaluator's words.
        message: String,
    },
    /// Its value has the wrong type.
    #[error("`{text}` gives {got}, not {want}")]
    Type {
        /// The expression.
        text: String,
        /// The type it has.
        got: String,
        /// The type it should have.
        want: &'static str,
    },
}

/// What expressions see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// `params.NAME`, typed as declared.
    pub params: BTreeMap<String, Scalar>,
    /// `git.branch`, `git.tag`, `git.ref`, `git.sha`, `git.repository`.
    pub git: Git,
    /// `event.kind`: `push`, `tag` or `manual`.
    pub event: Event,
    /// `run.name`, `run.pipeline`.
    pub run: Run,
    /// `needs.NAME.result`, `needs.NAME.outputs.KEY`.
    pub needs: BTreeMap<String, Need>,
    /// `matrix.AXIS`.
    pub matrix: BTreeMap<String, Scalar>,
}

/// The commit a run works on; empty texts where a run has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Git {
    /// The branch's short name, or empty.
    pub branch: String,
    /// The tag's short name, or empty.
    pub tag: String,
    /// The full ref name.
    pub ref_: String,
    /// The full commit id.
    pub sha: String,
    /// The GitRepository's name.
    pub repository: String,
}

/// What started the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `push`, `tag` or `manual`.
    pub kind: String,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            kind: "manual".to_owned(),
        }
    }
}

/// The run itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The PipelineRun's name.
    pub name: String,
    /// The Pipeline's name; empty for an inline one.
    pub pipeline: String,
}

/// How a needed job ended. For a matrix: `Succeeded` only if all combinations did; outputs of the last one that set them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// `Succeeded`, `Failed`, `Warned`, `Skipped` or `Cancelled`.
    pub result: String,
    /// What it wrote to `$CI_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn environment() -> Arc<Env> {
    static ENV: OnceLock<Arc<Env>> = OnceLock::new();
    let build = || {
        let mut env = Env::stdlib();
        env.add_extension(cel::extensions::strings)
            .expect("the strings extension declares nothing twice");
        Arc::new(env)
    };
    ENV.get_or_init(build).clone()
}

impl Expression {
    /// Parses a bare CEL expression.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LEN {
            return Err(ExpressionError::TooLong);
        }
        if depth(text) > MAX_DEPTH {
            return Err(ExpressionError::TooDeep);
        }
        if text.bytes().filter(|byte| OPERATORS.contains(byte)).count() > MAX_OPERATORS {
            return Err(ExpressionError::TooManyOperators);
        }
        let program = stacker::grow(STACK, || environment().compile(text)).map_err(|errors| {
            let first = errors.errors.first();
            ExpressionError::Syntax {
                message: first.map_or_else(|| "syntax error".to_owned(), |e| e.msg.clone()),
                column: first.and_then(|e| usize::try_from(e.pos.1).ok()).unwrap_or(1).max(1),
            }
        })?;
        Ok(Self {
            text: text.to_owned(),
            program: Arc::new(program),
        })
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates it where a condition is meant.
    pub fn evaluate_bool(&self, context: &Context) -> Result<bool, EvalError> {
        match self.evaluate(context)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvalError::Type {
                text: self.text.clone(),
                got: type_name(&other),
                want: "a boolean",
            }),
        }
    }

    /// Evaluates it where a text is meant: strings, numbers and booleans.
    pub fn evaluate_text(&self, context: &Context) -> Result<String, EvalError> {
        match self.evaluate(context)? {
            Value::String(text) => Ok(text.as_ref().clone()),
            Value::Int(number) => Ok(number.to_string()),
            Value::UInt(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            other => Err(EvalError::Type {
                text: self.text.clone(),
                got: type_name(&other),
                want: "a string, number or boolean",
            }),
        }
    }

    fn evaluate(&self, context: &Context) -> Result<Value, EvalError> {
        let mut variables = cel::Context::with_env(environment());
        for (name, value) in context.variables() {
            variables.add_variable_from_value(name, value);
        }
        stacker::grow(STACK, || self.program.execute(&variables)).map_err(|error| EvalError::Failed {
            text: self.text.clone(),
            message: error.to_string(),
        })
    }
}

impl Template {
    /// Parses a text with expressions in it.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${{") {
            if rest[..at].ends_with('$') {
                literal.push_str(&rest[..at - 1]);
                literal.push_str("${{");
                rest = &rest[at + 3..];
                continue;
            }
            literal.push_str(&rest[..at]);
            let inner = &rest[at + 3..];
            let end = closing(inner).ok_or(ExpressionError::Unclosed)?;
            let expression = inner[..end].trim();
            if expression.is_empty() {
                return Err(ExpressionError::Empty);
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Expression(Expression::parse(expression)?));
            rest = &inner[end + 2..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(expression) => Some(expression),
        })
    }

    /// The text with every expression replaced by its value.
    pub fn render(&self, context: &Context) -> Result<String, EvalError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Expression(expression) => out.push_str(&expression.evaluate_text(context)?),
            }
        }
        Ok(out)
    }
}

/// Where the `}}` of an expression stands, outside its string literals.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// How deep the brackets and the prefix operators nest. Those within string literals count as well: it is a bound for
/// a recursive parser, and who writes 33 of them has other troubles.
fn depth(text: &str) -> usize {
    let mut open = 0usize;
    let mut deepest = 0;
    let mut prefixes = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        prefixes = if matches!(byte, b'!' | b'-') { prefixes + 1 } else { 0 };
        deepest = deepest.max(open).max(prefixes);
    }
    deepest
}

/// The bytes that operators are made of. Those within string literals count as well, as in [`depth`].
const OPERATORS: &[u8] = b".[({?:!-+*/%&|=<>,";

fn type_name(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => format!("a {}", other.type_of()),
    }
}

fn map<V: Into<Value>>(entries: impl IntoIterator<Item = (String, V)>) -> Value {
    entries
        .into_iter()
        .map(|(key, value)| (Key::from(key), value.into()))
        .collect::<HashMap<Key, Value>>()
        .into()
}

impl From<&Scalar> for Value {
    fn from(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => Self::Bool(*value),
            Scalar::Int(value) => Self::Int(*value),
            Scalar::String(value) => Self::from(value.as_str()),
        }
    }
}

impl Context {
    fn variables(&self) -> [(&'static str, Value); 6] {
        let text = |pairs: &[(&str, &str)]| {
            map(pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Value::from(*value))))
        };
        let scalars = |values: &BTreeMap<String, Scalar>| {
            map(values.iter().map(|(key, value)| (key.clone(), Value::from(value))))
        };
        let git = &self.git;
        let needs = self.needs.iter().map(|(name, need)| {
            let outputs = map(need.outputs.iter().map(|(key, value)| (key.clone(), value.clone())));
            let entry = [
                ("result".to_owned(), Value::from(need.result.as_str())),
                ("outputs".to_owned(), outputs),
            ];
            (name.clone(), map(entry))
        });
        [
            ("params", scalars(&self.params)),
            (
                "git",
                text(&[
                    ("branch", &git.branch),
                    ("tag", &git.tag),
                    ("ref", &git.ref_),
                    ("sha", &git.sha),
                    ("repository", &git.repository),
                ]),
            ),
            ("event", text(&[("kind", &self.event.kind)])),
            (
                "run",
                text(&[("name", &self.run.name), ("pipeline", &self.run.pipeline)]),
            ),
            ("needs", map(needs)),
            ("matrix", scalars(&self.matrix)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let mut context = Context::default();
        context.params.insert("n".to_owned(), Scalar::Int(3));
        context.git.branch = "main".to_owned();
        let outputs = BTreeMap::from([("version".to_owned(), "1.10".to_owned())]);
        context.needs.insert(
            "build-it".to_owned(),
            Need {
                result: "Succeeded".to_owned(),
                outputs,
            },
        );
        context
    }

    #[test]
    fn conditions_see_params_git_and_needs() {
        for (text, want) in [
            ("git.branch == 'main' && params.n > 2", true),
            ("needs['build-it'].outputs.version == '1.10'", true),
            ("git.tag.startsWith('v')", false),
            ("has(needs.other)", false),
        ] {
            assert_eq!(
                Expression::parse(text).unwrap().evaluate_bool(&context()),
                Ok(want),
                "{text}"
            );
        }
    }

    #[test]
    fn a_template_puts_values_between_its_texts() {
        let template = Template::parse("v${{ needs['build-it'].outputs.version }}-${{ '}}' }}-$${{ x }}").unwrap();
        assert_eq!(template.render(&context()).unwrap(), "v1.10-}}-${{ x }}");
    }

    #[test]
    fn what_does_not_parse_says_where() {
        assert!(matches!(
            Expression::parse("git.branch =="),
            Err(ExpressionError::Syntax { .. })
        ));
        assert!(matches!(Template::parse("${{ 1 "), Err(ExpressionError::Unclosed)));
        assert!(matches!(Template::parse("${{ }}"), Err(ExpressionError::Empty)));
        assert!(matches!(
            Expression::parse(&"(".repeat(1000)),
            Err(ExpressionError::TooDeep)
        ));
        assert!(matches!(
            Expression::parse(&"!".repeat(1000)),
            Err(ExpressionError::TooDeep)
        ));
        assert!(matches!(
            Expression::parse(&"a".repeat(5000)),
            Err(ExpressionError::TooLong)
        ));
    }

    #[test]
    fn a_condition_that_is_no_boolean_is_an_error() {
        let error = Expression::parse("git.branch")
            .unwrap()
            .evaluate_bool(&context())
            .unwrap_err();
        assert!(matches!(error, EvalError::Type { .. }), "{error}");
    }
}
