//! Every URL of the server, read from `http/routes.rs`, so that what is proved of all of them is proved of new ones too.

use reqwest::Method;

const SOURCE: &str = include_str!("../../../src/http/routes.rs");

/// A route as it is declared: method and path with its parameters in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
}

/// The routes of one group: of a function of `http/routes.rs`.
pub(crate) fn routes_of(group: &str) -> Vec<Route> {
    let routes: Vec<Route> = body_of(group).split(".route(").skip(1).flat_map(routes_of_call).collect();
    assert!(!routes.is_empty(), "{group} has no routes");
    routes
}

/// The routes of this method that answer browsers with pages or take their forms.
pub(crate) fn routes_of_pages(method: &Method) -> Vec<Route> {
    let mut routes = routes_of("for_visitors");
    routes.extend(routes_of("for_people"));
    routes.retain(|route| route.method == *method);
    routes
}

/// The one that a path without its query leads to. A literal segment wins over a parameter, as in the router.
pub(crate) fn route_of<'a>(routes: &'a [Route], path: &str) -> Option<&'a Route> {
    let literals =
        |route: &&Route| route.path.split('/').map(|part| !part.starts_with('{')).collect::<Vec<_>>();
    routes.iter().filter(|route| route.leads(path)).max_by_key(literals)
}

/// How many routes there are, in all groups and in those.
pub(crate) fn count_of(groups: &[&str]) -> (usize, usize) {
    let calls = |text: &str| text.matches(".route(").count();
    (calls(SOURCE), groups.iter().map(|group| calls(body_of(group))).sum())
}

/// The names of all groups.
pub(crate) fn groups() -> Vec<String> {
    let functions = SOURCE.lines().filter_map(|line| line.strip_prefix("fn for_"));
    functions.map(|line| format!("for_{}", line.split('(').next().unwrap())).collect()
}

impl Route {
    fn leads(&self, path: &str) -> bool {
        let (mut mine, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (mine.next(), given.next()) {
                (None, None) => return true,
                (Some(mine), Some(given))
                    if mine == given || (mine.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
    }
}

fn body_of(group: &str) -> &'static str {
    let (_, rest) = SOURCE.split_once(&format!("fn {group}(")).unwrap_or_else(|| panic!("no group {group}"));
    rest.split("\nfn ").next().unwrap()
}

fn routes_of_call(call: &str) -> Vec<Route> {
    let mut parts = call.splitn(3, '"');
    let (_, path, handlers) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
    let methods = [
        ("get(", Method::GET),
        ("post(", Method::POST),
        ("put(", Method::PUT),
        ("patch(", Method::PATCH),
        ("delete(", Method::DELETE),
    ];
    let names_method = |name: &str| {
        handlers
            .match_indices(name)
            .any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    methods
        .into_iter()
        .filter(|(name, _)| names_method(name))
        .map(|(_, method)| Route { method, path: path.to_owned() })
        .collect()
}
