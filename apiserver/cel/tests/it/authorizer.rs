//! Questions to the authorizer.

use std::sync::Mutex;

use breakbulk_cel::{
    Answer, Authorizer, Bindings, Environment, Opaque, Question, ResourceRequest, Subject, Target, Type,
};

use crate::support::table;

#[derive(Default)]
struct Recorder(Mutex<Vec<Question>>);

impl Authorizer for Recorder {
    fn authorize(&self, question: &Question) -> Answer {
        self.0.lock().expect("no panic").push(question.clone());
        let error = (question.verb == "fail").then(|| "broken".to_owned());
        Answer {
            allowed: question.verb == "get",
            reason: "because".to_owned(),
            error,
        }
    }
}

fn environment() -> Environment {
    Environment::new()
        .typed_variable("authorizer", Type::Opaque(Opaque::Authorizer))
        .typed_variable("authorizer.requestResource", Type::Opaque(Opaque::ResourceCheck))
}

#[test]
fn questions_are_put_together_step_by_step() {
    let recorder = Recorder::default();
    let request = ResourceRequest {
        group: "apps".into(),
        resource: "deployments".into(),
        name: "web".into(),
        ..ResourceRequest::default()
    };
    let bindings = Bindings::new().authorizer(&recorder, Some(&request));
    table(
        &environment(),
        &bindings,
        &[
            ("authorizer.path('/healthz').check('get').allowed()", "true"),
            (
                "authorizer.group('').resource('pods').subresource('log').namespace('ns').name('p').check('watch').reason()",
                "\"because\"",
            ),
            ("authorizer.requestResource.check('fail').errored()", "true"),
            ("authorizer.requestResource.check('fail').error()", "\"broken\""),
            (
                "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').labelSelector('a=b').check('get').allowed()",
                "true",
            ),
            (
                "authorizer.path(' ').check('get').allowed()",
                "error: path must not be empty",
            ),
            (
                "authorizer.group('').resource('').check('get').allowed()",
                "error: resource must not be empty",
            ),
            (
                "authorizer.serviceAccount('ns', 'S A').path('/').check('get').allowed()",
                "error: Invalid service account name",
            ),
            (
                "authorizer.path('/').namespace('x')",
                "error: ERROR: <input>:1:31: found no matching overload for 'namespace' applied to 'kubernetes.authorization.PathCheck.(string)'\n | authorizer.path('/').namespace('x')\n | ..............................^",
            ),
        ],
    );
    let asked = recorder.0.lock().expect("no panic");
    assert_eq!(asked[0].target, Target::Path("/healthz".into()));
    let Target::Resource(pods) = &asked[1].target else {
        panic!("a resource")
    };
    assert_eq!(
        (
            pods.resource.as_str(),
            pods.subresource.as_str(),
            pods.namespace.as_str()
        ),
        ("pods", "log", "ns")
    );
    assert_eq!(asked[2].target, Target::Resource(request));
    let subject = Subject::ServiceAccount {
        namespace: "ns".into(),
        name: "sa".into(),
    };
    assert_eq!(asked[4].subject, subject);
}
