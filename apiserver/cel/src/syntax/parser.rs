//! Tokens to a tree, by precedence climbing. Nesting and height are bounded while the tree grows, so that nothing later
//! has to fear its depth; the first mistake ends the parse.

use crate::source::Issue;
use crate::syntax::lexer::{self, Placed, Token};
use crate::syntax::macros;
use crate::syntax::{Ast, Entry, Expr, Id, Item, Kind, Literal, Logic, MAX_HEIGHT, MAX_LENGTH, MAX_NESTING, Selection};

const EXPRESSION: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                          BYTES, IDENTIFIER}";

/// Words that other languages would trip over.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Parses an expression; the parser recurses up to [`MAX_NESTING`] deep.
pub(crate) fn parse(source: &str) -> Result<Ast, Issue> {
    let length = source.chars().count();
    if length > MAX_LENGTH {
        let message = format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}");
        return Err(Issue::whole(message));
    }
    let mut parser = Parser {
        source,
        tokens: lexer::tokens(source)?,
        at: 0,
        nesting: 0,
        offsets: Vec::new(),
    };
    let root = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(Ast {
            root,
            offsets: parser.offsets,
        }),
        _ => Err(parser.unexpected("<EOF>")),
    }
}

/// The parse under way.
pub(super) struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Placed>,
    at: usize,
    nesting: usize,
    offsets: Vec<usize>,
}

type Parsed<T> = Result<T, Issue>;

/// Operators of two operands by precedence; a higher one binds tighter.
fn binary(mark: &str) -> Option<(u8, &'static str)> {
    Some(match mark {
        "<" => (1, "_<_"),
        "<=" => (1, "_<=_"),
        ">" => (1, "_>_"),
        ">=" => (1, "_>=_"),
        "==" => (1, "_==_"),
        "!=" => (1, "_!=_"),
        "in" => (1, "@in"),
        "+" => (2, "_+_"),
        "-" => (2, "_-_"),
        "*" => (3, "_*_"),
        "/" => (3, "_/_"),
        "%" => (3, "_%_"),
        _ => return None,
    })
}

impl<'s> Parser<'s> {
    pub(super) fn make(&mut self, offset: usize, kind: Kind) -> Parsed<Expr> {
        let height = kind.height();
        if height > MAX_HEIGHT {
            return Err(Self::too_deep());
        }
        let id = Id(u32::try_from(self.offsets.len()).map_err(|_| Self::too_deep())?);
        self.offsets.push(offset);
        Ok(Expr { id, height, kind })
    }

    pub(super) fn offset_of(&self, expr: &Expr) -> usize {
        self.offsets[expr.id.index()]
    }

    fn too_deep() -> Issue {
        Issue::whole(format!("expression recursion limit exceeded: {MAX_NESTING}"))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn offset(&self) -> usize {
        self.tokens[self.at].offset
    }

    fn advance(&mut self) -> Placed {
        let placed = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        placed
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(found) if *found == mark)
    }

    /// Takes the mark if it is next, and says where it was.
    fn take(&mut self, mark: &str) -> Option<usize> {
        self.is(mark).then(|| self.advance().offset)
    }

    fn expect(&mut self, mark: &str) -> Parsed<usize> {
        self.take(mark).ok_or_else(|| self.unexpected(&format!("'{mark}'")))
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        let placed = &self.tokens[self.at];
        let found = match placed.token {
            Token::End => "<EOF>",
            _ => &self.source[placed.offset..placed.end],
        };
        let message = format!("Syntax error: mismatched input '{found}' expecting {wanted}");
        Issue::new(placed.offset, message)
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Self::too_deep());
        }
        let condition = self.logic(Logic::Or)?;
        let expr = match self.take("?") {
            None => condition,
            Some(offset) => {
                let then = self.logic(Logic::Or)?;
                self.expect(":")?;
                let otherwise = self.expression()?;
                self.call(offset, "_?_:_", vec![condition, then, otherwise])?
            }
        };
        self.nesting -= 1;
        Ok(expr)
    }

    fn call(&mut self, offset: usize, function: &str, args: Vec<Expr>) -> Parsed<Expr> {
        let function = function.to_owned();
        let target = None;
        self.make(offset, Kind::Call { function, target, args })
    }

    fn logic(&mut self, logic: Logic) -> Parsed<Expr> {
        let (mark, inner): (_, fn(&mut Self) -> Parsed<Expr>) = match logic {
            Logic::Or => ("||", |parser| parser.logic(Logic::And)),
            Logic::And => ("&&", |parser| parser.infix(1)),
        };
        let first = inner(self)?;
        let Some(offset) = self.take(mark) else {
            return Ok(first);
        };
        let mut terms = vec![first, inner(self)?];
        while self.take(mark).is_some() {
            terms.push(inner(self)?);
        }
        self.make(offset, Kind::Logic { logic, terms })
    }

    fn infix(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        loop {
            let Token::Mark(mark) = self.peek() else {
                return Ok(left);
            };
            let Some((precedence, function)) = binary(mark).filter(|(precedence, _)| *precedence >= least) else {
                return Ok(left);
            };
            let offset = self.advance().offset;
            let right = self.infix(precedence + 1)?;
            left = self.call(offset, function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        for (mark, function) in [("!", "!_"), ("-", "-_")] {
            let Some(offset) = self.take(mark) else {
                continue;
            };
            let mut count = 1;
            while self.is(mark) {
                self.advance();
                count += 1;
            }
            let number = matches!(self.peek(), Token::Int(_) | Token::Double(_));
            if mark == "-" && number {
                count -= 1;
                let sign = self.tokens[self.at - 1].offset;
                let literal = self.number(Some(sign))?;
                let member = self.postfix(literal)?;
                return self.negate(offset, function, count, member);
            }
            let primary = self.primary()?;
            let member = self.postfix(primary)?;
            return self.negate(offset, function, count, member);
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn negate(&mut self, offset: usize, function: &str, count: usize, member: Expr) -> Parsed<Expr> {
        if count.is_multiple_of(2) {
            return Ok(member);
        }
        self.call(offset, function, vec![member])
    }

    fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if let Some(offset) = self.take("[") {
                let optional = self.take("?").is_some();
                let index = self.expression()?;
                self.expect("]")?;
                let function = if optional { "_[?_]" } else { "_[_]" };
                expr = self.call(offset, function, vec![expr, index])?;
            } else if let Some(offset) = self.take(".") {
                expr = self.member(offset, expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Ident(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected("IDENTIFIER")),
        }
    }

    fn member(&mut self, dot: usize, operand: Expr) -> Parsed<Expr> {
        let optional = self.take("?").is_some();
        let field = self.name()?;
        if optional || !self.is("(") {
            if !optional && self.is("{") && qualified(&operand).is_some() {
                let name = format!("{}.{field}", qualified(&operand).unwrap_or_default());
                return self.structure(name);
            }
            let selection = if optional {
                Selection::Optional
            } else {
                Selection::Plain
            };
            let operand = Box::new(operand);
            return self.make(
                dot,
                Kind::Select {
                    operand,
                    field,
                    selection,
                },
            );
        }
        let open = self.expect("(")?;
        let args = self.arguments(")")?;
        macros::member(self, open, operand, field, args)
    }

    fn arguments(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(close).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.take(",").is_none() {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.peek().clone() {
            Token::Literal(literal) => {
                let offset = self.advance().offset;
                self.make(offset, Kind::Literal(literal))
            }
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => self.number(None),
            Token::Ident(_) => self.identifier(),
            Token::Mark("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => self.list(),
            Token::Mark("{") => self.map(),
            Token::Mark(".") => {
                self.advance();
                self.identifier()
            }
            _ => Err(self.unexpected(EXPRESSION)),
        }
    }

    fn number(&mut self, sign: Option<usize>) -> Parsed<Expr> {
        let placed = self.advance();
        let offset = sign.unwrap_or(placed.offset);
        let minus = if sign.is_some() { "-" } else { "" };
        let invalid = |kind: &str| Issue::new(offset, format!("invalid {kind} literal"));
        let literal = match placed.token {
            Token::Int(text) => {
                let parsed = match text.strip_prefix("0x") {
                    Some(hex) => i64::from_str_radix(&format!("{minus}{hex}"), 16),
                    None => format!("{minus}{text}").parse(),
                };
                Literal::Int(parsed.map_err(|_| invalid("int"))?)
            }
            Token::Uint(text) => {
                let parsed = match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16),
                    None => text.parse(),
                };
                Literal::Uint(parsed.map_err(|_| invalid("uint"))?)
            }
            Token::Double(text) => {
                let parsed = format!("{minus}{text}")
                    .parse::<f64>()
                    .ok()
                    .filter(|value| value.is_finite());
                Literal::Double(parsed.ok_or_else(|| invalid("double"))?)
            }
            _ => return Err(self.unexpected(EXPRESSION)),
        };
        self.make(offset, Kind::Literal(literal))
    }

    fn identifier(&mut self) -> Parsed<Expr> {
        let offset = self.offset();
        let name = self.name()?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Issue::new(offset, format!("reserved identifier: {name}")));
        }
        if let Some(open) = self.take("(") {
            let args = self.arguments(")")?;
            return macros::global(self, open, name, args);
        }
        if self.is("{") {
            return self.structure(name);
        }
        self.make(offset, Kind::Ident(name))
    }

    /// `Name{…}`: read to its end, so that mistakes in it are found too; the checker refuses the name.
    fn structure(&mut self, name: String) -> Parsed<Expr> {
        let open = self.expect("{")?;
        while self.take("}").is_none() {
            self.take("?");
            self.name()?;
            self.expect(":")?;
            self.expression()?;
            if self.take(",").is_none() && !self.is("}") {
                return Err(self.unexpected("'}'"));
            }
        }
        self.make(open, Kind::Struct(name))
    }

    fn list(&mut self) -> Parsed<Expr> {
        let offset = self.expect("[")?;
        let mut items = Vec::new();
        while self.take("]").is_none() {
            let optional = self.take("?").is_some();
            let value = self.expression()?;
            items.push(Item { value, optional });
            if self.take(",").is_none() && !self.is("]") {
                return Err(self.unexpected("']'"));
            }
        }
        self.make(offset, Kind::List(items))
    }

    fn map(&mut self) -> Parsed<Expr> {
        let offset = self.expect("{")?;
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if self.take(",").is_none() && !self.is("}") {
                return Err(self.unexpected("'}'"));
            }
        }
        self.make(offset, Kind::Map(entries))
    }
}

/// `a.b.c` as one name, if the expression is nothing but names.
pub(crate) fn qualified(expr: &Expr) -> Option<String> {
    let mut fields = Vec::new();
    let mut expr = expr;
    loop {
        match &expr.kind {
            Kind::Ident(name) => {
                fields.push(name.as_str());
                fields.reverse();
                return Some(fields.join("."));
            }
            Kind::Select {
                operand,
                field,
                selection: Selection::Plain,
            } => {
                fields.push(field);
                expr = operand;
            }
            _ => return None,
        }
    }
}
