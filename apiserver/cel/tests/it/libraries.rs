//! The libraries, each by a table.

use crate::support::{all_true, plain};

#[test]
fn strings() {
    plain(&[
        ("'héllo'.charAt(1)", "\"é\""),
        ("'ab'.charAt(2)", "\"\""),
        ("'ab'.charAt(3)", "error: index out of range: 3"),
        ("'héllo'.indexOf('l')", "2"),
        ("'hello'.indexOf('l', 3)", "3"),
        ("'hello'.indexOf('z')", "-1"),
        ("'hello'.indexOf('l', 30)", "-1"),
        ("'hello'.indexOf('l', -1)", "error: index out of range: -1"),
        ("'hello'.indexOf('', 30) + 'hello'.lastIndexOf('', 30)", "10"),
        ("'hello'.lastIndexOf('l', 30)", "-1"),
        ("'hello'.lastIndexOf('l')", "3"),
        ("'hello'.lastIndexOf('l', 2)", "2"),
        ("'hello'.lastIndexOf('lo', 1)", "-1"),
        ("['a', 'b'].join() + ['a', 'b'].join('-')", "\"aba-b\""),
        ("'TaCo é'.lowerAscii()", "\"taco é\""),
        ("'taco'.upperAscii()", "\"TACO\""),
        ("'hello'.replace('l', 'L')", "\"heLLo\""),
        ("'hello'.replace('l', 'L', 1)", "\"heLlo\""),
        ("'hello'.replace('l', 'L', 0)", "\"hello\""),
        ("'ab'.replace('', '-')", "\"-a-b-\""),
        ("'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]"),
        ("'a,b,c'.split(',', 2)", "[\"a\",\"b,c\"]"),
        ("'a,b,c'.split(',', 0)", "[]"),
        ("'abc'.split('')", "[\"a\",\"b\",\"c\"]"),
        ("'héllo'.substring(1, 3)", "\"él\""),
        ("'hello'.substring(3)", "\"lo\""),
        (
            "'hello'.substring(3, 2)",
            "error: invalid substring range. start: 3, end: 2",
        ),
        ("'hello'.substring(9)", "error: index out of range: 9"),
        ("'  a '.trim()", "\"a\""),
        ("strings.quote('a\"b')", "\"\\\"a\\\\\\\"b\\\"\""),
        (
            "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')",
            "true",
        ),
    ]);
}

#[test]
fn formatting() {
    plain(&[
        ("'%s is %d'.format(['a', 3])", "\"a is 3\""),
        ("'%.2f'.format([1234.567])", "\"1,234.57\""),
        ("'%e'.format([1052.032911275])", "\"1.052033\u{202f}×\u{202f}10⁰³\""),
        ("'%b %x %X %o'.format([5, 255, 'hi', 8])", "\"101 ff 6869 10\""),
        (
            "'%s'.format([['a', 1, 1.5, null, b'x']])",
            "\"[\\\"a\\\", 1, 1.500000, null, b\\\"x\\\"]\"",
        ),
        (
            "'%s %s'.format([1.5, {'k': duration('1s')}])",
            "\"1.5 {\\\"k\\\":duration(\\\"1s\\\")}\"",
        ),
        ("'%%'.format([])", "\"%\""),
        (
            "'%d'.format(['a'])",
            "error: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%s'.format([])", "error: index 0 out of range"),
        (
            "'%z'.format([1])",
            "error: could not parse formatting clause: unrecognized formatting clause \"z\"",
        ),
    ]);
}

#[test]
fn lists() {
    plain(&[
        ("[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", "true"),
        ("[1, 2, 3].sum()", "6"),
        ("[1.5, 2.5].sum()", "4.0"),
        ("[duration('1m'), duration('1s')].sum()", "\"61s\""),
        ("[3, 1, 2].min() + [3, 1, 2].max()", "4"),
        ("['b', 'a'].min()", "\"a\""),
        ("[1].filter(x, x > 1).min()", "error: min called on empty list"),
        ("[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1)", "2"),
        ("[1].indexOf(5)", "-1"),
        ("[9223372036854775807, 1].sum()", "error: integer overflow"),
    ]);
}

#[test]
fn sets() {
    all_true(&[
        "sets.contains([1, 2, 3], [3, 1])",
        "!sets.contains([1], [2])",
        "sets.equivalent([1, 2, 2], [2, 1])",
        "sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])",
    ]);
}

#[test]
fn regular_expressions() {
    plain(&[
        ("'abc123'.matches('^[a-z]+\\\\d+$')", "true"),
        ("matches('abc', 'b')", "true"),
        ("'٣'.matches('^\\\\d$')", "false"),
        ("'a]'.matches('[]a]+$')", "true"),
        ("'a[&&b'.matches('^[[&a-b]+$')", "true"),
        ("'{x}'.matches('^{x}$')", "true"),
        ("'a.b'.matches('^\\\\Qa.b\\\\E$')", "true"),
        ("'abc 123'.find('[0-9]+')", "\"123\""),
        ("'abc'.find('[0-9]+')", "\"\""),
        ("'1 2 3'.findAll('[0-9]')", "[\"1\",\"2\",\"3\"]"),
        ("'1 2 3'.findAll('[0-9]', 2)", "[\"1\",\"2\"]"),
        (
            "'a'.matches(['(', 'x'][0])",
            "error: error parsing regexp: missing closing ): `(`",
        ),
    ]);
}

#[test]
fn urls() {
    plain(&[
        (
            "url('https://user@example.com:8080/a%20b?k=v&k=w&x#f').getHost()",
            "\"example.com:8080\"",
        ),
        ("url('https://example.com:8080/').getHostname()", "\"example.com\""),
        ("url('https://[::1]:80/').getHostname()", "\"::1\""),
        ("url('https://[::1]:80/').getPort()", "\"80\""),
        ("url('https://e.com/a b').getEscapedPath()", "\"/a%20b\""),
        ("url('HTTPS://e.com').getScheme()", "\"https\""),
        (
            "url('https://e.com/?k=v&k=w&x=%41').getQuery()",
            "{\"k\":[\"v\",\"w\"],\"x\":[\"A\"]}",
        ),
        (
            "isURL('https://e.com') && isURL('/path') && !isURL('../x') && !isURL('')",
            "true",
        ),
        ("url('https://a.b/') == url('https://a.b/')", "true"),
        (
            "url('../x')",
            "error: URL parse error during conversion from string: parse \"../x\": invalid URI for request",
        ),
    ]);
}

#[test]
fn addresses_and_networks() {
    plain(&[
        ("ip('192.168.0.1').family() + ip('::1').family()", "10"),
        (
            "isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('01.2.3.4') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
            "true",
        ),
        (
            "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
            "true",
        ),
        (
            "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('10.0.0.1').isGlobalUnicast()",
            "true",
        ),
        (
            "ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.1.1').isLinkLocalUnicast()",
            "true",
        ),
        ("string(ip('2001:DB8::1'))", "\"2001:db8::1\""),
        (
            "cidr('192.168.0.0/24').containsIP('192.168.0.1') && cidr('192.168.0.0/24').containsIP(ip('192.168.0.9'))",
            "true",
        ),
        ("cidr('192.168.0.0/24').containsIP('192.168.1.1')", "false"),
        (
            "cidr('192.168.0.0/24').containsCIDR('192.168.0.128/25') && !cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/23'))",
            "true",
        ),
        ("string(cidr('192.168.3.7/16').masked())", "\"192.168.0.0/16\""),
        ("cidr('::1/64').prefixLength()", "64"),
        ("string(cidr('10.1.2.3/8').ip())", "\"10.1.2.3\""),
        (
            "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/08') && !isCIDR('10.0.0.0')",
            "true",
        ),
        (
            "ip('1.2.3.4') == ip('1.2.3.4') && cidr('0.0.0.0/0').containsIP('9.9.9.9')",
            "true",
        ),
        ("type(ip('1.2.3.4')) == net.IP", "true"),
        (
            "ip('x')",
            "error: IP Address \"x\" parse error during conversion from string: ParseAddr(\"x\"): unable to parse IP",
        ),
    ]);
}

#[test]
fn quantities() {
    plain(&[
        ("quantity('3Gi').asInteger()", "3221225472"),
        ("quantity('1.5Gi').asApproximateFloat()", "1610612736.0"),
        ("quantity('1.5Gi').isInteger()", "false"),
        ("quantity('1.5Gi').isGreaterThan(quantity('1610612735'))", "true"),
        ("quantity('100m').isInteger()", "false"),
        ("quantity('100m').asInteger()", "error: cannot convert value to integer"),
        ("quantity('100m').asApproximateFloat()", "0.1"),
        ("quantity('1k') == quantity('1000')", "true"),
        ("quantity('1Ki').isGreaterThan(quantity('1k'))", "true"),
        ("quantity('1').compareTo(quantity('2')) + quantity('3').sign()", "0"),
        ("quantity('50k').add(quantity('20k')).sub(20000).asInteger()", "50000"),
        ("quantity('1').add(5).isLessThan(quantity('7'))", "true"),
        ("quantity('1e3').asInteger() + quantity('-2E2').asInteger()", "800"),
        ("quantity('0.5Ki') == quantity('512')", "true"),
        ("quantity('1n').add(quantity('999999999n')).asInteger()", "1"),
        ("quantity('99999999999999999999').isInteger()", "false"),
        (
            "isQuantity('10') && isQuantity('1.5Mi') && !isQuantity('10Mo') && !isQuantity('') && !isQuantity('.')",
            "true",
        ),
        ("quantity('1KM')", "error: unable to parse quantity's suffix"),
    ]);
}

#[test]
fn versions() {
    plain(&[
        (
            "semver('1.2.3').major() * 100 + semver('1.2.3').minor() * 10 + semver('1.2.3').patch()",
            "123",
        ),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", "true"),
        ("semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))", "true"),
        ("semver('1.0.0+a') == semver('1.0.0+b')", "true"),
        (
            "isSemver('1.2.3') && !isSemver('1.2') && !isSemver('v1.2.3') && isSemver('v1.02', true)",
            "true",
        ),
        ("semver('1.2')", "error: No Major.Minor.Patch elements found"),
        (
            "semver('01.2.3')",
            "error: Major number must not contain leading zeroes \"01\"",
        ),
        ("semver('v01.2', true).compareTo(semver('1.2.0'))", "0"),
    ]);
}

#[test]
fn named_formats() {
    plain(&[
        ("format.dns1123Label().validate('my-name').hasValue()", "false"),
        (
            "format.dns1123Label().validate('My').value()[0].startsWith('a lowercase RFC 1123 label')",
            "true",
        ),
        (
            "format.dns1123Label().validate('a'.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).value()",
            "[\"must be no more than 63 characters\"]",
        ),
        ("format.dns1123LabelPrefix().validate('a-').hasValue()", "false"),
        ("format.dns1035Label().validate('1a').hasValue()", "true"),
        ("format.dns1123Subdomain().validate('a.b-c.d').hasValue()", "false"),
        (
            "format.qualifiedName().validate('example.com/Name').hasValue()",
            "false",
        ),
        (
            "format.qualifiedName().validate('/x').value()",
            "[\"prefix part must be non-empty\"]",
        ),
        ("format.labelValue().validate('').hasValue()", "false"),
        (
            "format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
            "false",
        ),
        ("format.date().validate('2024-02-30').value()", "[\"invalid date\"]"),
        ("format.datetime().validate('2024-02-03T04:05:06Z').hasValue()", "false"),
        (
            "format.byte().validate('YQ==').hasValue() || format.byte().validate('YQ=').hasValue()",
            "true",
        ),
        ("format.uri().validate('http://x/').hasValue()", "false"),
        (
            "format.named('labelValue').value() == format.labelValue() && !format.named('x').hasValue()",
            "true",
        ),
    ]);
}
