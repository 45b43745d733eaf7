//! What each role may do: the table on the members page, and the least role of every page and form of a tenant.
//!
//! One list for both. A handler's argument type (`TenantMember`, `AppDeveloper`, …) is what enforces it; the isolation
//! tests ask every route as every role and hold the two together. A new page of an app is for viewers and a new form for
//! developers unless an ability names it; a new route of the tenant itself must be named, or those tests fail.

use crate::control::roles::Role;

/// Something that members of at least one role may do.
#[derive(Debug, Clone, Copy)]
pub struct Ability {
    /// What it is, as a row of the table says it.
    pub does: &'static str,
    /// The least role that may.
    pub needs: Role,
    /// The routes it takes, as `http/routes.rs` has them: method, blank, path below `/d/{tenant}`. A `*` at the end
    /// stands for all that begin so and that no other ability names.
    pub routes: &'static [&'static str],
}

/// Everything, by the least role that may.
pub const ABILITIES: &[Ability] = &[
    Ability {
        does: "See apps, members and the audit log",
        needs: Role::Viewer,
        routes: &["GET ", "GET /members", "GET /audit", "GET /audit.csv", "GET /audit.ndjson"],
    },
    Ability {
        does: "See an app’s rows, users, devices, conflicts and history",
        needs: Role::Viewer,
        routes: &["GET /{app}*"],
    },
    Ability { does: "Leave the organisation", needs: Role::Viewer, routes: &["POST /leave"] },
    Ability { does: "Create apps", needs: Role::Developer, routes: &["GET /apps/new", "POST /apps/new"] },
    Ability {
        does: "Publish an app’s schema",
        needs: Role::Developer,
        routes: &["POST /{app}/schema/preview", "POST /{app}/schema/apply"],
    },
    Ability {
        does: "Issue and revoke API keys",
        needs: Role::Developer,
        routes: &["POST /{app}/keys", "POST /{app}/keys/{key}/revoke"],
    },
    Ability {
        does: "Change an app’s settings and what is in it",
        needs: Role::Developer,
        routes: &[
            "POST /{app}*",
            "GET /{app}/tables/{table}/new",
            "GET /{app}/tables/{table}/import",
            "GET /{app}/users/{scope}/export.ndjson",
            "GET /{app}/users/{scope}/export.sqlite",
        ],
    },
    Ability {
        does: "Invite people, up to one’s own role",
        needs: Role::Admin,
        routes: &["POST /invitations", "POST /invitations/{invitation}/revoke"],
    },
    Ability {
        does: "Change roles and remove members, other than owners",
        needs: Role::Admin,
        routes: &["POST /members/{account}/role", "POST /members/{account}/remove"],
    },
    Ability {
        does: "Delete apps, and all that there is of a user",
        needs: Role::Admin,
        routes: &["POST /{app}/settings/delete", "POST /{app}/users/{scope}/erase"],
    },
    Ability {
        does: "Rename the organisation",
        needs: Role::Admin,
        routes: &["GET /settings", "POST /settings"],
    },
    Ability {
        does: "Make and remove owners, hand over the ownership",
        needs: Role::Owner,
        routes: &["POST /members/{account}/transfer"],
    },
    Ability { does: "Delete the organisation", needs: Role::Owner, routes: &["POST /settings/delete"] },
];

/// The least role for a route below `/d/{tenant}`; None if no ability names it.
pub fn needed(method: &str, path_in_tenant: &str) -> Option<Role> {
    let route = format!("{method} {path_in_tenant}");
    let named = |ability: &&Ability| ability.routes.contains(&route.as_str());
    let begins = |ability: &&Ability| {
        let starts = ability.routes.iter().filter_map(|pattern| pattern.strip_suffix('*'));
        starts.into_iter().any(|start| route.starts_with(start))
    };
    let found = ABILITIES.iter().find(named).or_else(|| ABILITIES.iter().find(begins));
    found.map(|ability| ability.needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_belongs_to_one_ability_and_abilities_are_in_order() {
        let mut routes: Vec<_> = ABILITIES.iter().flat_map(|ability| ability.routes).collect();
        let all = routes.len();
        routes.sort_unstable();
        routes.dedup();
        assert_eq!(routes.len(), all, "a route is named twice");
        assert!(ABILITIES.is_sorted_by_key(|ability| ability.needs));
        assert_eq!(needed("POST", "/leave"), Some(Role::Viewer));
        assert_eq!(needed("GET", "/{app}/anything"), Some(Role::Viewer));
        assert_eq!(needed("POST", "/{app}/anything"), Some(Role::Developer));
        assert_eq!(needed("POST", "/{app}/settings/delete"), Some(Role::Admin));
        assert_eq!(needed("POST", "/nonsense"), None);
    }
}
