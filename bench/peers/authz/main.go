// An ext_authz server that does the gateway's job the usual home-made way: API by host and path, key by its SHA-256 in a map, a minute and a
// day counter in Redis (one pipeline a request), key and forged claims taken away, claims and RateLimit headers set.
//
// Usage: authz ADDRESS REDIS KEYS HOST SEGMENTS MINUTE DAY. KEYS is a file of lines "sha256 consumer tier key-id scope,scope", MINUTE and DAY
// are what a key may use in each. Prints its port.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/redis/go-redis/v9"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const claimPrefix = "x-tollgate-"

type caller struct {
	consumer, tier, keyID, scopes, counter string
}

type server struct {
	auth.UnimplementedAuthorizationServer
	callers  map[[32]byte]caller
	host     string
	segments map[string]bool
	redis    *redis.Client
	// what a key may use, and the header that says so
	minuteLimit, dayLimit int64
	policies              string
}

func (s *server) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	http := request.GetAttributes().GetRequest().GetHttp()
	host, _, _ := strings.Cut(strings.ToLower(http.GetHost()), ":")
	segment := strings.TrimPrefix(http.GetPath(), "/")
	if end := strings.IndexAny(segment, "/?"); end >= 0 {
		segment = segment[:end]
	}
	if host != s.host || !s.segments[segment] {
		return deny(typev3.StatusCode_NotFound), nil
	}
	found, ok := s.callers[sha256.Sum256([]byte(http.GetHeaders()["x-api-key"]))]
	if !ok {
		return deny(typev3.StatusCode_Unauthorized), nil
	}
	now := time.Now().Unix()
	minute, day, err := s.count(ctx, found.counter, now)
	if err != nil {
		return nil, err
	}
	if minute > s.minuteLimit || day > s.dayLimit {
		return deny(typev3.StatusCode_TooManyRequests), nil
	}
	remove := []string{"x-api-key"}
	for name := range http.GetHeaders() {
		if strings.HasPrefix(strings.ReplaceAll(name, "_", "-"), claimPrefix) {
			remove = append(remove, name)
		}
	}
	limits := fmt.Sprintf(`"minute";r=%d;t=%d, "day";r=%d;t=%d`, s.minuteLimit-minute, 60-now%60, s.dayLimit-day, 86400-now%86400)
	return &auth.CheckResponse{
		Status: &status.Status{Code: int32(codes.OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers: []*core.HeaderValueOption{
				set(claimPrefix+"consumer", found.consumer), set(claimPrefix+"tier", found.tier),
				set(claimPrefix+"key-id", found.keyID), set(claimPrefix+"scopes", found.scopes),
			},
			HeadersToRemove: remove,
			ResponseHeadersToAdd: []*core.HeaderValueOption{
				set("ratelimit-policy", s.policies), set("ratelimit", limits),
			},
		}},
	}, nil
}

// count adds one to both counters. Only the first request of a window pays for its expiry.
func (s *server) count(ctx context.Context, counter string, now int64) (int64, int64, error) {
	minuteKey := counter + ":m:" + strconv.FormatInt(now/60, 10)
	dayKey := counter + ":d:" + strconv.FormatInt(now/86400, 10)
	calls := s.redis.Pipeline()
	minute, day := calls.Incr(ctx, minuteKey), calls.Incr(ctx, dayKey)
	if _, err := calls.Exec(ctx); err != nil {
		return 0, 0, err
	}
	if minute.Val() == 1 {
		if err := s.redis.Expire(ctx, minuteKey, 2*time.Minute).Err(); err != nil {
			return 0, 0, err
		}
	}
	if day.Val() == 1 {
		if err := s.redis.Expire(ctx, dayKey, 25*time.Hour).Err(); err != nil {
			return 0, 0, err
		}
	}
	return minute.Val(), day.Val(), nil
}

func set(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}
}

func deny(code typev3.StatusCode) *auth.CheckResponse {
	return &auth.CheckResponse{
		Status:       &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: code}}},
	}
}

func readCallers(path string) (map[[32]byte]caller, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	callers := map[[32]byte]caller{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 5 {
			return nil, fmt.Errorf("%s: %q has not five fields", path, lines.Text())
		}
		digest, err := hex.DecodeString(fields[0])
		if err != nil || len(digest) != 32 {
			return nil, fmt.Errorf("%s: %q is no SHA-256", path, fields[0])
		}
		callers[[32]byte(digest)] = caller{fields[1], fields[2], fields[3], strings.ReplaceAll(fields[4], ",", " "), "authz:" + fields[3]}
	}
	return callers, lines.Err()
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	if len(os.Args) != 8 {
		log.Fatal("usage: authz ADDRESS REDIS KEYS HOST SEGMENTS MINUTE DAY")
	}
	callers, err := readCallers(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	segments := map[string]bool{}
	for _, segment := range strings.Split(os.Args[5], ",") {
		segments[segment] = true
	}
	minute, day := number(os.Args[6]), number(os.Args[7])
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	auth.RegisterAuthorizationServer(grpcServer, &server{
		callers: callers, host: os.Args[4], segments: segments,
		redis:       redis.NewClient(&redis.Options{Addr: os.Args[2], PoolSize: 64}),
		minuteLimit: minute, dayLimit: day,
		policies: fmt.Sprintf(`"minute";q=%d;w=60, "day";q=%d;w=86400`, minute, day),
	})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(grpcServer.Serve(listener))
}
