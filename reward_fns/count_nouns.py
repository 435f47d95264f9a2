"""Nouns that may stand behind a count (`18 apples`), as word problems have them; no numeral is among them."""

from reward_fns.latex_tokens import word_set

COUNT_NOUNS = word_set(
    """
values acorns acres adults airplanes albums alligators animals antacids ants apartments appetizers apple
apples apps aprons aquariums arms arrangements artichokes articles artworks asparagus athletes attendees aunts
avocados awards babies backpacks badges bag bagels baggies bags baguettes bales ball balloons balls bananas
bandages bands barrels bars baseballs basketballs baskets batches bathrooms baths batteries beads beakers
beans bears beats bedbugs bedrooms beds bees beetles beignets belts benches berries bicycles bids bikes
billboards bills birds biscuits blackbirds blankets blisters block blocks blouses blueberries boards boats
bollards bolts bones bonnets book books bottle bottlecaps bottles bouquets bowls box boxes boy boys bracelets
braids branches breaks bricks brochures brothers brownies bubbles buckets bugs builders buildings bulbs
bunches bundles bunnies burgers burritos buses bushels bushes business businesses butterflies buttons buyers
cabinets cages cakes calls calories camels campers candies candles candy canes cans cantaloupes caps capsules
car caramels card cardinals cards carnations carpets carriages carrots cars cartons cases caterpillars cats
cattle cells centimeters cents chairs channels chapters characters charges checks cheerleaders cheesecakes
chefs cherries chests chickens chicks child children chimichangas chips chocolates chores circles citations
cities claims clarinets classes classmates classrooms claws clerks clients clothes clotheslines clouds clovers
cloves clowns clusters coaches coals coats coconuts coefficients coffees coin coins colorings colors columns
combinations comics committees complaints computers cones consonants contacts containers cookie cookies copies
corns counters countries counts coupons courses cows crabs crackers crafts cranberries craters crates crayons
credits crickets croissants crops croutons crows cubes cucumbers cup cupcakes cups curlers customers
cuttlebones cycles daisies daughters day days decks decorations deer degrees deliveries demerits desks
desserts devices diagonals diapers diaries dice digit digits dimes dinners dishes dislikes divisors doctors
dogs dollars dolls dolphins donations donuts doors doses dots doughnuts dragons drawings dreams dresses drinks
drops drummers drums ducklings ducks dumplings earrings ears edges egg eggplants eggs element elements
elephants elves emails employees envelopes episodes erasers euros exams eyes faces factors fairies families
farmhands farthings feathers feedings feet females fences ferns figurines files filets fingers firecrackers
fires fireworks fish fishes flags flashlights flats flavors fleas flies flights flips floors flowers flutes
flyers folders foldings followers foot footballs footprints forks forms foxes friends fries frogs fronds fruit
fruits functions galleries gallons game games geckos geese gems gemstones geraniums gifts gigabytes
gingerbreads giraffes girl girls glasses gnomes goals goats grades grains grams grapes graphs groups guests
guides guitars gumballs guns guppies gusts haircuts hairs halls hamburgers hamsters hands handshakes hares
hats heads hearts hectares helmets hens hexagons highlighters hikes hits hives holes homes honeydews hoodies
hoots horses horseshoes hotdogs hours households houses hushpuppies inches individuals inhabitants insects
instructions instruments integer integers intersection intersections intervals islands issues item items
jackets jars jeans jellybeans jerseys jewels joggers jokes jugs juices jumps kangaroos kernels keys kids
kilobytes kilograms kilometers kilowatts kindergartners kinds kittens knives ladders ladybugs lambs lamps laps
laptops lattes lawns layers leaves legos legs lemons lengths lens leopards lessons letter letters levels licks
lightbulbs lighters likes lilies limes lines links lions liters lizards llamas loads loaves logs lollipops
losses lunches macarons macaroons machines magazines maggots magnets males man managers mangoes mangos marble
marbles marigolds markers marks marshmallows masks matchboxes matches matchsticks meals meatballs medals
megabits megabytes melons members men messages meters metres mice microphones mile miles milkshakes
milliliters millimeters millipedes minks minnows minutes mirrors mistakes models monitors monkeys monsters
months motorcycles mountains moves movies muffins multiples mushrooms nails napkins necklaces neighbors
nephews newspapers nickels nights nodes notebooks notes nougats novels number numbers nurses nuts objects
omelets onions orange oranges orbits orchards orchids orcs orders ounces outcomes outfits oxen oysters
packages packets packs page pages pails paintings pallets pamphlets pancakes pandas panels pans pants papayas
paperclips papers paragraphs parents parrots parsecs parsnips participants parts passengers passes pastries
patches paths patients patrons paws peaches peanuts pearls pears pebbles pencils penguins pennies pens
pentagons people peppers periods permutations person persons pesetas pesos petals pets petunias pfennigs
phones photographs photos phrases pianists pickles pictures piece pieces pies pigeons piglets pigs piles pills
pineapples pinecones pines pins pints pitches pixels pizzas planes planks plants plates players playlists
plums pockets pods point pointers points pollywogs polygons polynomials pomegranates poodles popsicles
portions possibilities postcards posters posts potatoes pots pouches pounds precious presents pretzels primes
problems products puffs pumpkins pumps pupils puppies pups pushups puzzles quadrilaterals quarts questions
quilts quizzes rabbits racers racquets raisins raspberries rats records recoveries rectangles reflections
refuels regions reports reps residents residues restaurants rhinestones rhinos riddles rides ridges rings
robins robots rocks rolls roommates rooms roosters roots roses rotations rounds routes rows rungs runners
sacks sales salmon sandcastles sandwiches saplings sapphires sausages savings scallops scarves schools scoops
screws seagulls seashells seasons seats seconds sections seedlings seeds segments semesters seniors sentences
sequences sequins servings sessions sets settings shares sharks sheep sheets shells shelves shirts shoes
shorts shots shows shrimp siblings sides signatures singers sisters sites situps skeins skeletons skips skirts
sleeves slices smores snacks snails snakes snapdragons snowballs snowflakes soaps socks sodas sofas soldiers
solution solutions songs sonnets sons sours spaces sparklers spears spheres spiders spokes spools spoons
sports spots squares squats squirrels stacks stairs stamps stanzas stars stations statues steaks stems steps
stickers sticks stingrays stitches stoplights stops stores stories strands strawberries straws streetlights
streets strings stripes strokes student students stuffies subjects subscribers subscriptions subsets suckers
suitcases suits sunflowers surfers surveys swallows swans sweaters sweets systems tables tablespoons tabs
tacks tadpoles tangerines tanks taps tarantulas tasks tattoos teachers teacups teams tears teaspoons teddies
teenagers teeth televisions tennis tents terms terriers teslas tests tetras texts things thorns tickets ties
tigers tiles tins tires tissues toads toddlers toenails toes tokens tomatoes tonnes tons tools toothbrushes
toothpicks toppings touchdowns tourists towels towers toys tractors trains trays treats trees triangles trips
trolls trophies truckloads trucks trumpets tubes tubs tulips turkeys turns turtles twigs types unicorns units
vacations vaccines values vampires vans vegetables vehicles vents vertices vibrations videos visitors visits
vlogs volunteers voters votes waiters walls walnuts wands washers washes watermelons watts way ways weasels
websites weeds weekdays weeks whales wheels whiskers whistlers widgets wights wigs windows wings wins wipes
woman women word words workers worms yards years yogurts zebras zeros zits zombies
    """
)
