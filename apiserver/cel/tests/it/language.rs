//! The language itself: literals, operators, macros, conversions, optionals.

use crate::support::{all_true, plain};

#[test]
fn literals_are_what_they_say() {
    plain(&[
        ("1", "1"),
        ("-1", "-1"),
        ("0x1F", "31"),
        ("-0x1F", "-31"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("3u", "3"),
        ("1.5e3", "1500.0"),
        (".5", "0.5"),
        ("'a\\n\\x41\\u00e9\\101'", "\"a\\nAéA\""),
        ("r'a\\n'", "\"a\\\\n\""),
        ("\"\"\"a\"b\"\"\"", "\"a\\\"b\""),
        ("'''it's'''", "\"it's\""),
        ("string(b'\\xc3\\xa9')", "\"é\""),
        ("size(b'é')", "2"),
        ("null", "null"),
        ("[1, 2, 3]", "[1,2,3]"),
        ("[1, 2,]", "[1,2]"),
        ("{'a': 1, 'b': 2}", "{\"a\":1,\"b\":2}"),
        ("// a comment\n 1 // another", "1"),
    ]);
}

#[test]
fn arithmetic_is_checked() {
    plain(&[
        ("1 + 2 * 3 - 4 / 2", "5"),
        ("7 % 3", "1"),
        ("-7 / 2", "-3"),
        ("-(3)", "-3"),
        ("--3", "3"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("-9223372036854775808 - 1", "error: integer overflow"),
        ("-9223372036854775808 / -1", "error: integer overflow"),
        ("-9223372036854775808 % -1", "error: integer overflow"),
        ("-(-9223372036854775808)", "error: integer overflow"),
        ("9223372036854775807 * 2", "error: integer overflow"),
        ("1u - 2u", "error: unsigned integer overflow"),
        ("1 / 0", "error: division by zero"),
        ("1u % 0u", "error: modulus by zero"),
        ("1.0 / 0.0 > 1.0", "true"),
        ("'a' + 'b'", "\"ab\""),
        ("[1] + [2]", "[1,2]"),
        ("b'a' + b'b' == b'ab'", "true"),
    ]);
}

#[test]
fn numbers_of_all_kinds_compare_by_value() {
    all_true(&[
        "1 < 2u",
        "1.5 > 1",
        "2u >= 1.5",
        "dyn(1) == 1.0",
        "dyn(1u) == 1",
        "dyn(9223372036854775807) != 9223372036854775808.0",
        "dyn('1') != 1",
        "[dyn(1)] == [dyn(1.0)]",
        "{'a': dyn(1)} == {'a': dyn(1u)}",
        "double('NaN') != double('NaN')",
        "!(double('NaN') < 1)",
        "dyn(1) in [dyn(1.0)]",
        "dyn(1.0) in {1: 'a'}",
        "type(1) == int && type('a') == string && type(type(1)) == type",
        "type(duration('1s')) == google.protobuf.Duration",
        "b'a' < b'b' && false < true && 'a' < 'b'",
        "dyn({1: 2})[dyn(1.0)] == 2",
    ]);
}

#[test]
fn logic_needs_only_the_operands_that_decide() {
    plain(&[
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 || false", "error: division by zero"),
        ("true ? 1 : 1 / 0", "1"),
        ("!true || !false && true", "true"),
        ("true && true && true && false", "false"),
    ]);
}

#[test]
fn macros_go_over_lists_and_maps() {
    plain(&[
        ("[1, 2].all(x, x > 0)", "true"),
        ("[].all(x, x > 0)", "true"),
        ("[1, 2].exists(x, x > 1)", "true"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].all(x, 2 / x > 3)", "false"),
        ("[0].all(x, 2 / x > 3)", "error: division by zero"),
        ("[1, 2, 2].exists_one(x, x == 2)", "false"),
        ("[1, 2].exists_one(x, x == 2)", "true"),
        ("[1, 2].map(x, x * 2)", "[2,4]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"),
        ("[1, 2, 3].filter(x, x != 2)", "[1,3]"),
        ("{'a': 1, 'b': 2}.map(k, k)", "[\"a\",\"b\"]"),
        ("{'a': 1}.all(k, k == 'a')", "true"),
        ("[[1], [2]].map(x, x.map(y, y + x[0]))", "[[2],[4]]"),
        ("[1, 2].all(i, v, i + 1 == v)", "true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        ("{'a': 1, 'b': 1}.existsOne(k, v, v == 1)", "false"),
        ("[5, 6].transformList(i, v, i * v)", "[0,6]"),
        ("[5, 6].transformList(i, v, i > 0, v)", "[6]"),
        ("{'a': 1}.transformMap(k, v, v + 1)", "{\"a\":2}"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", "{\"b\":2}"),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", "{\"x\":\"a\"}"),
        (
            "{'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k})",
            "error: insert failed: key x already exists",
        ),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "true"),
    ]);
}

#[test]
fn indices_and_keys_must_be_there() {
    plain(&[
        ("[1, 2][1]", "2"),
        ("[1][1]", "error: index out of bounds: 1"),
        ("[1][-1]", "error: index out of bounds: -1"),
        ("{'a': 1}['b']", "error: no such key: b"),
        ("{'a': 1}.b", "error: no such key: b"),
        ("{1: 'x'}[1]", "\"x\""),
        ("{1: 'x', 1: 'y'}", "error: Failed with repeated key: 1"),
        ("'a' in {'a': 1}", "true"),
        ("2 in [1, 3]", "false"),
    ]);
}

#[test]
fn conversions_say_what_they_cannot() {
    plain(&[
        ("int('12') + int(3u) + int(1.9)", "16"),
        ("int('a')", "error: strconv.ParseInt: parsing \"a\": invalid syntax"),
        ("int(1e30)", "error: integer overflow"),
        ("uint(-1)", "error: unsigned integer overflow"),
        ("double('1.5')", "1.5"),
        (
            "string(1.5) + string(1000000.0) + string(true) + string(2u)",
            "\"1.51e+06true2\"",
        ),
        ("bool('true')", "true"),
        ("size('héé') + size([1]) + size({'a': 1}) + 'ab'.size()", "7"),
        (
            "string(b'\\xff')",
            "error: invalid UTF-8 in bytes, cannot convert to string",
        ),
    ]);
}

#[test]
fn times_are_reckoned_with() {
    plain(&[
        ("timestamp('2023-01-02T03:04:05Z').getFullYear()", "2023"),
        ("timestamp('2023-01-02T03:04:05Z').getMonth()", "0"),
        ("timestamp('2023-01-02T03:04:05Z').getDate()", "2"),
        ("timestamp('2023-01-02T03:04:05Z').getDayOfMonth()", "1"),
        ("timestamp('2023-01-02T03:04:05Z').getDayOfWeek()", "1"),
        ("timestamp('2023-01-02T03:04:05Z').getDayOfYear()", "1"),
        ("timestamp('2023-01-02T03:04:05Z').getHours('+02:30')", "5"),
        ("timestamp('2023-07-02T03:04:05Z').getHours('Europe/Berlin')", "5"),
        (
            "timestamp('2023-07-02T03:04:05Z').getHours('No/Where')",
            "error: unknown time zone No/Where",
        ),
        ("timestamp('2023-01-02T03:04:05.678Z').getMilliseconds()", "678"),
        (
            "timestamp('2023-01-02T00:00:00Z') - timestamp('2023-01-01T00:00:00Z')",
            "\"86400s\"",
        ),
        (
            "timestamp('2023-01-01T00:00:00+01:00') + duration('1h30m')",
            "\"2023-01-01T00:30:00Z\"",
        ),
        ("duration('90m').getHours()", "1"),
        ("duration('1.5s').getMilliseconds()", "1500"),
        ("string(duration('1h1.5s'))", "\"3601.5s\""),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("timestamp(60)", "\"1970-01-01T00:01:00Z\""),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
            "error: timestamp overflow",
        ),
        ("timestamp('9999-12-31T23:59:59Z').getSeconds()", "59"),
        ("timestamp('9999-12-31T23:59:59.5Z')", "\"9999-12-31T23:59:59.5Z\""),
        ("timestamp('0001-01-01T00:00:00Z').getFullYear()", "1"),
        ("timestamp('0001-01-01T00:00:00Z').getFullYear('-05:00')", "0"),
        ("duration('-1m') < duration('1ns')", "true"),
    ]);
}

#[test]
fn optionals_carry_what_may_be_missing() {
    plain(&[
        ("{'a': 1}[?'a'].orValue(2)", "1"),
        ("{'a': 1}[?'b'].orValue(2)", "2"),
        ("{'a': {'b': 1}}.?a.?b.hasValue()", "true"),
        ("{'a': {'b': 1}}.?a.b.value()", "1"),
        ("{'a': {'b': 1}}.?x.b.hasValue()", "false"),
        ("[1][?5].hasValue()", "false"),
        ("optional.of(1).optMap(x, x + 1).value()", "2"),
        ("optional.none().optMap(x, x + 1).hasValue()", "false"),
        ("optional.of(1).optFlatMap(x, optional.of(x + 1)).value()", "2"),
        ("optional.none().value()", "error: optional.none() dereference"),
        ("optional.ofNonZeroValue('').hasValue()", "false"),
        ("optional.none().or(optional.of(3)).value()", "3"),
        ("[?optional.of(1), ?optional.none()]", "[1]"),
        ("{?'a': optional.of(1), ?'b': optional.none()}", "{\"a\":1}"),
        ("optional.unwrap([optional.of(1), optional.none()])", "[1]"),
        ("[optional.of(1)].unwrapOpt()", "[1]"),
        ("[1, 2].first().value() + [1, 2].last().value()", "3"),
        ("optional.of(1).orValue(1 / 0)", "1"),
        ("optional.of(1).or(optional.of(1 / 0)).value()", "1"),
        ("has({'a': {'b': 1}}.?a.b) && !has({'a': {'b': 1}}.?x.b)", "true"),
    ]);
}
