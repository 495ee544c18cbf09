package cmdb

import (
	"strings"

	"icewatch/cmdb/model"
)

// Class describes one class of items, Attribute one attribute of a class.
type (
	Class     = model.Class
	Attribute = model.Attribute
)

// shippedModel is the model as the suite brings it. Code knows two classes by
// what they are for, which no change of the model may take away.
func compileModel(d model.Document) (*model.Model, error) {
	m, err := model.Compile(d)
	if err != nil {
		return nil, err
	}
	for name, rank := range map[string]int{Organisation: 0, BusinessSystem: 1} {
		if c := m.Class(name); c == nil || c.Rank != rank || c.Abstract {
			return nil, &model.DefinitionError{What: "class", Name: name, Message: "the suite works with it: it must be there, with its rank"}
		}
	}
	return m, nil
}

// classNames lists the classes that items can be of, for error messages.
func classNames(m *model.Model) string { return strings.Join(m.Concrete(), ", ") }
