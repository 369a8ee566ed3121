package drill

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Role is what kind of thing a place is.
type Role string

// The roles.
const (
	RoleDatabase Role = "database" // database nodes
	RoleServer   Role = "server"   // server nodes
	RoleClients  Role = "clients"  // the clients of a region; they stand at ends of links alone
	RoleRegion   Role = "region"   // all of a region: its database nodes, its servers, and at ends of links its clients
	RoleZone     Role = "zone"     // the database nodes of a zone
	RoleRelay    Role = "relay"    // the server that works on the change stream of a home, when the step begins
)

// roles in the order in which sentences list them.
var roles = []Role{RoleDatabase, RoleServer, RoleClients, RoleRegion, RoleZone, RoleRelay}

// Place names members of a deployment: database/us-east1, server/*, region/europe-west1, zone/us-east1-b, database/us-east1/2, relay/eu.
type Place struct {
	Role  Role
	Name  string // of the region, zone or home; * for all
	Index int    // from 1; 0: all
}

// ParsePlace reads a place.
func ParsePlace(s string) (Place, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || !slices.Contains(roles, Role(parts[0])) || !isPlaceName(parts[1]) {
		return Place{}, fmt.Errorf("%q is no place; write one as in database/us-east1, server/*, region/europe-west1, zone/us-east1-b, clients/us-east1 or relay/eu", clip(s))
	}
	p := Place{Role: Role(parts[0]), Name: parts[1]}
	if len(parts) < 3 {
		return p, nil
	}
	var err error
	if p.Index, err = strconv.Atoi(parts[2]); err != nil || p.Index < 1 || p.Index > maxMembers || p.Role != RoleDatabase && p.Role != RoleServer {
		return Place{}, fmt.Errorf("%q is no place: a number from 1 to %d may follow a region of database or server alone", clip(s), maxMembers)
	}
	return p, nil
}

func isPlaceName(s string) bool {
	return s == "*" || s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// String returns the place as a story writes it.
func (p Place) String() string {
	s := string(p.Role) + "/" + p.Name
	if p.Index > 0 {
		s += "/" + strconv.Itoa(p.Index)
	}
	return s
}

// says is the place in a sentence.
func (p Place) says() string {
	all := p.Name == "*"
	switch p.Role {
	case RoleDatabase, RoleServer:
		noun := string(p.Role) + " node"
		switch {
		case p.Index > 0:
			return fmt.Sprintf("%s %d of %s", noun, p.Index, p.Name)
		case all:
			return "all " + noun + "s"
		}
		return noun + "s of " + p.Name
	case RoleClients:
		if all {
			return "all clients"
		}
		return "clients of " + p.Name
	case RoleRelay:
		return "the server that relays " + p.Name
	default:
		if all {
			return "every " + string(p.Role)
		}
		return string(p.Role) + " " + p.Name
	}
}

// places are names as a story writes them.
func places(all []Place) []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.String()
	}
	return names
}

func sayPlaces(all []Place) string {
	said := make([]string, len(all))
	for i, p := range all {
		said[i] = p.says()
	}
	return strings.Join(said, ", ")
}

// clip bounds what an error repeats of a file.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
