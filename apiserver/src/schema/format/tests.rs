//! What has each format, and what has not.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn formats_are_what_upstream_takes_them_for() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "date",
            &["2024-02-29"],
            &["2023-02-29", "2024-2-29", "20240229", "2024-02-29T00:00:00Z"],
        ),
        (
            "date-time",
            &[
                "2014-12-15T19:30:20.000Z",
                "2014-12-15t19:30:20z",
                "2014-12-15T19:30:20+02:00",
            ],
            &[
                "2014-12-15",
                "2014-12-15T24:00:00Z",
                "2014-12-15T19:30:20",
                "2014-12-15 19:30:20Z",
                "T",
                "2014-12-15Tä0:00:00Z",
            ],
        ),
        (
            "duration",
            &["22ns", "1h30m", "-1.5s", "0", "2 days", "3 weeks", "1.5h"],
            &["", "abc", "5", "1x"],
        ),
        (
            "uuid",
            &[
                "A8098C1A-F86E-11DA-BD1A-00112448BE1E",
                "a8098c1af86e11dabd1a00112448be1e",
            ],
            &["a8098c1a", "a8098c1a--f86e-11da-bd1a-00112448be1e"],
        ),
        (
            "uuid3",
            &["bcd02e22-68f0-3046-a512-327cca9def8f"],
            &["bcd02e22-68f0-4046-a512-327cca9def8f"],
        ),
        (
            "uuid4",
            &["025b0d74-00a2-4048-bf57-227c5111bb34"],
            &["025b0d74-00a2-4048-cf57-227c5111bb34"],
        ),
        (
            "uuid5",
            &["886313e1-3b8a-5372-9b90-0c9aee199e5d"],
            &["886313e1-3b8a-3372-9b90-0c9aee199e5d"],
        ),
        (
            "ipv4",
            &["192.168.0.1", "010.1.1.1"],
            &["192.168.0.256", "1.2.3", "::1", "a.b.c.d"],
        ),
        ("ipv6", &["::1", "fe80::1"], &["1.2.3.4", "::g"]),
        (
            "cidr",
            &["10.0.0.0/8", "fd00::/64"],
            &["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/+8"],
        ),
        (
            "mac",
            &["01:02:03:04:05:06", "0123.4567.89ab", "01-02-03-04-05-06-07-08"],
            &["01:02:03:04:05", "01:02-03:04:05:06"],
        ),
        (
            "uri",
            &["https://example.com/a?b=c", "/a/b", "mailto:a@b.c", "http://[::1]:80/"],
            &["", "a/b", "http://a b/", "/%zz", "1a:b"],
        ),
        (
            "hostname",
            &["example.com", "localhost", "a-b.example"],
            &["-a.example", "a..b", "a_b", "x.1"],
        ),
        (
            "email",
            &["a@b", "Ann Lee <a.l@example.com>"],
            &["a", "@b", "a@", "a b@c"],
        ),
        ("byte", &["YWJj", "YQ=="], &["", "YWJ", "YW-j", "===="]),
        (
            "isbn",
            &["0321751043", "978-0321751041"],
            &["0321751044", "978-0321751042"],
        ),
        ("isbn10", &["0-8044-2957-X"], &["978-0321751041"]),
        ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112", "1"]),
        ("ssn", &["111-11-1111", "111 11 1111"], &["111111111", "111-11-111a"]),
        ("hexcolor", &["#FFFFFF", "fff"], &["#ffff", "#ggg"]),
        (
            "rgbcolor",
            &["rgb(0, 255,10)"],
            &["rgb(0,256,1)", "rgb(1,2)", "rgb(01,2,3)"],
        ),
        (
            "bsonobjectid",
            &["507f1f77bcf86cd799439011"],
            &["507f1f77bcf86cd79943901"],
        ),
        ("password", &[""], &[]),
        ("k8s-short-name", &["a-b"], &["a.b", "A"]),
        ("k8s-long-name", &["a-b.c"], &["a..b"]),
    ];
    for (name, fit, misfit) in table {
        let text = Text::read(name).unwrap_or_else(|| panic!("{name} is known"));
        for value in *fit {
            assert!(text.fits(value), "{value:?} is a {name}");
        }
        for value in *misfit {
            assert!(!text.fits(value), "{value:?} is no {name}");
        }
    }
    assert!(Format::read("int32", Some(Type::String)).is_none() && Format::read("x", None).is_none());
}
