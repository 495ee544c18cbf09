package lake

import (
	"slices"
	"testing"
)

// drivers open the backend of the lakes of a test, by the beginning of its name.
var drivers = map[string]func(t testing.TB, dir string) Backend{}

// Acceptance has the tests that a lake must pass whatever holds its rows run on
// backends that open makes, as subtests of driver. A folder that is opened
// again must hold what it held. only names some of the tests; none are all.
func Acceptance(t *testing.T, driver string, open func(t testing.TB, dir string) Backend, only ...string) {
	drivers[t.Name()+"/"+driver] = open
	t.Run(driver, func(t *testing.T) {
		for name, test := range map[string]func(*testing.T){
			"tenants":    TestTenantsAreApartOnEveryReadPath,
			"isolation":  TestIsolation,
			"order":      TestNewestFirstOverALongRange,
			"reopen":     TestStoredNamesWhatIsThereAfterAReopen,
			"limits":     TestNothingIsDroppedSilently,
			"context":    TestContext,
			"operators":  TestOperators,
			"statistics": TestFacetsAndStatistics,
			"original":   TestRawTextComesBack,
			"words":      TestWordsAreLookedForEverywhere,
			"rows":       TestRowsOfAllSizes,
		} {
			if len(only) == 0 || slices.Contains(only, name) {
				t.Run(name, test)
			}
		}
	})
}
