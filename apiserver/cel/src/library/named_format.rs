//! Named formats: Kubernetes' `format.dns1123Label().validate(text)`, which gives the mistakes, or none.

use std::sync::Arc;

use base64::Engine as _;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, time, unsupported, url};
use crate::value::{Library, OpaqueValue, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

/// A format of texts.
#[derive(Debug)]
pub(crate) struct Format {
    /// How expressions call it.
    pub(crate) name: &'static str,
    check: fn(&str) -> Vec<String>,
    /// What a text costs is reckoned with a pattern of this size.
    pub(crate) regex_size: u64,
}

macro_rules! formats {
    ($($name:ident $text:literal $size:literal $check:expr;)*) => {
        $(static $name: Format = Format { name: $text, check: $check, regex_size: $size };)*

        static FORMATS: &[&Format] = &[$(&$name),*];

        pub(super) const FUNCTIONS: &[Declaration] = &[
            $(Declaration {
                name: concat!("format.", $text),
                overloads: &[(concat!("format.", $text), "() -> Format")],
                run: |_: &mut Meter, _| Ok(Value::library(Library::Format(&$name))),
            },)*
            Declaration {
                name: "format.named",
                overloads: &[("format-named", "(string) -> optional(Format)")],
                run: named,
            },
            Declaration {
                name: "validate",
                overloads: &[("format-validate", "Format.(string) -> optional(list(string))")],
                run: validate,
            },
        ];
    };
}

formats! {
    DNS1123_LABEL "dns1123Label" 30 |text| label(text, LABEL, 63, Start::Any);
    DNS1123_SUBDOMAIN "dns1123Subdomain" 60 |text| subdomain(text);
    DNS1035_LABEL "dns1035Label" 30 |text| label(text, DNS1035, 63, Start::Letter);
    QUALIFIED_NAME "qualifiedName" 60 qualified_name;
    DNS1123_LABEL_PREFIX "dns1123LabelPrefix" 30 |text| label(&unmasked(text), LABEL, 63, Start::Any);
    DNS1123_SUBDOMAIN_PREFIX "dns1123SubdomainPrefix" 60 |text| subdomain(&unmasked(text));
    DNS1035_LABEL_PREFIX "dns1035LabelPrefix" 30 |text| label(&unmasked(text), DNS1035, 63, Start::Letter);
    LABEL_VALUE "labelValue" 40 label_value;
    URI "uri" 1000 |text| url::parse(text).err().into_iter().collect();
    UUID "uuid" 80 |text| when(!is_uuid(text), "does not match the UUID format");
    BYTE "byte" 90 |text| when(!is_base64(text), "invalid base64");
    DATE "date" 200 |text| when(time::parse_date(text).is_err(), "invalid date");
    DATETIME "datetime" 200 |text| when(time::parse_timestamp(text).is_err(), "invalid datetime");
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                       character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                       validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                                '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
                                'my_value',  or '12345', regex used for validation is \
                                '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const QUALIFIED: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                         with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix \
                         and '/' (e.g. 'example.com/MyName')";

fn named<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(name)] = args else {
        return unsupported();
    };
    let found = FORMATS.iter().find(|format| *format.name == **name);
    Ok(Value::Optional(
        found.map(|format| Arc::new(Value::library(Library::Format(format)))),
    ))
}

fn validate<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(OpaqueValue(Library::Format(format))), Value::String(text)] = args else {
        return unsupported();
    };
    let mistakes = (format.check)(text);
    if mistakes.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(
        mistakes.into_iter().map(Value::text).collect(),
    )))
}

fn when(wrong: bool, text: &str) -> Vec<String> {
    wrong.then(|| text.to_owned()).into_iter().collect()
}

#[derive(Clone, Copy)]
enum Start {
    Any,
    Letter,
}

fn too_long(text: &str, most: usize) -> Vec<String> {
    when(text.len() > most, &format!("must be no more than {most} characters"))
}

fn is_label(text: &str, start: Start) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(|c| match start {
        Start::Any => edge(*c),
        Start::Letter => c.is_ascii_lowercase(),
    });
    first && bytes.last().is_some_and(|c| edge(*c)) && bytes.iter().all(|c| edge(*c) || *c == b'-')
}

fn label(text: &str, message: &str, most: usize, start: Start) -> Vec<String> {
    let mut mistakes = too_long(text, most);
    mistakes.extend(when(!is_label(text, start), message));
    mistakes
}

fn subdomain(text: &str) -> Vec<String> {
    let mut mistakes = too_long(text, 253);
    let good = text.split('.').all(|part| is_label(part, Start::Any));
    mistakes.extend(when(!good, SUBDOMAIN));
    mistakes
}

/// A prefix of a generated name may end with a dash: what follows stands for it.
fn unmasked(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => format!("{before}a"),
        _ => text.to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    let edge = |c: &u8| c.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|c| edge(c) || b"-_.".contains(c))
}

fn label_value(text: &str) -> Vec<String> {
    let mut mistakes = too_long(text, 63);
    mistakes.extend(when(!text.is_empty() && !is_name(text), LABEL_VALUE_TEXT));
    mistakes
}

fn qualified_name(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                mistakes.push("prefix part must be non-empty".to_owned());
            } else {
                mistakes.extend(
                    subdomain(prefix)
                        .into_iter()
                        .map(|mistake| format!("prefix part {mistake}")),
                );
            }
            name
        }
        _ => return vec![QUALIFIED.to_owned()],
    };
    if name.is_empty() {
        mistakes.push("name part must be non-empty".to_owned());
    } else {
        mistakes.extend(
            too_long(name, 63)
                .into_iter()
                .map(|mistake| format!("name part {mistake}")),
        );
    }
    mistakes.extend(when(!is_name(name), NAME_PART));
    mistakes
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let groups: Vec<&str> = text.split('-').collect();
    let plain = bytes.len() == 32 && groups.len() == 1;
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    (plain || lengths == [8, 4, 4, 4, 12]) && bytes.iter().all(|c| c.is_ascii_hexdigit() || *c == b'-')
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}
